"""What there is to know about an execution provider, and the table of those that are known.

A provider is one module with one `ProviderFacts` and one line in `registry`. The facts are plain
data: they travel to child processes, and to other interpreters, as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Device", "FixedShapes", "Package", "ProviderFacts"]

Device: TypeAlias = Literal["cpu", "gpu", "npu"]
FixedShapes: TypeAlias = Literal["no", "preferred", "required"]


@dataclass(frozen=True, slots=True)
class Package:
    """A Python distribution that brings a provider.

    Attributes:
        distribution: Its name on PyPI; empty where there is none and it must be built or is part
            of another platform's packages.
        plugin: The module that knows the plug-in library, for plug-ins that go beside any build of
            ONNX Runtime; empty for a build of ONNX Runtime that has the provider inside, which
            replaces any other build in its environment.
        note: Platforms and conditions.
    """

    distribution: str
    plugin: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class ProviderFacts:
    """One execution provider.

    Attributes:
        name: How users ask for it.
        runtime_name: Its name in ONNX Runtime.
        title: Its name in prose.
        device: What it computes on. Time of the CPU tells its speed for "cpu" only.
        packages: What brings it, the best first.
        options: Provider options worth knowing, each with its meaning.
        defaults: Options that are set unless the user sets them.
        thread_option: The option that says how many threads it uses, where it has its own.
        aliases: Other names that users may ask with.
        alignment: Multiple of channels that its kernels work in, by element type.
        layout: The layout its convolutions compute in.
        blocks_images: Whether images stay in blocks of channels between convolutions, and change
            that order for operators that do not know it.
        fixed_shapes: Whether input sizes must be fixed.
        precision: The element types it computes in.
        tolerance: Largest difference from the CPU provider relative to the largest output that its
            arithmetic explains.
        emulated_on: Machines (as `platform.machine` names them) on which its package computes on
            an emulator, whose latency means nothing.
        without_device: What can be checked on a machine without the device.
        writes_files: Whether it leaves files in the working directory.
        notes: What users should know besides.
    """

    name: str
    runtime_name: str
    title: str
    device: Device
    packages: tuple[Package, ...]
    options: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    thread_option: str = ""
    aliases: tuple[str, ...] = ()
    alignment: Mapping[str, int] = field(default_factory=dict)
    layout: str = "NCHW"
    blocks_images: bool = False
    fixed_shapes: FixedShapes = "no"
    precision: tuple[str, ...] = ("float32",)
    tolerance: float = 1e-3
    emulated_on: tuple[str, ...] = ()
    without_device: str = "nothing"
    writes_files: bool = False
    notes: tuple[str, ...] = ()

    @property
    def install(self) -> str:
        """The command that brings the provider, or what else to do."""
        best = self.packages[0]
        if not best.distribution:
            return best.note
        if best.plugin or best.distribution == "onnxruntime":
            return f"pip install {best.distribution}"
        folder = f"{self.name}-env"
        return (
            f"python -m venv {folder} && {folder}/bin/pip install {best.distribution} ml_dtypes"
            f", then --python {self.name}={folder}/bin/python"
        )

    @property
    def where(self) -> str:
        """Where that works."""
        best = self.packages[0]
        return best.note if best.distribution else ""
