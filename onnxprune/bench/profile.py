"""Where the time of a model goes on a provider, node by node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from onnxprune.bench.operators import attribute
from onnxprune.bench.run import runnable
from onnxprune.bench.workload import Subject, make_recipe
from onnxprune.providers.calling import call_on

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from onnxprune.providers.check import Examination
    from onnxprune.providers.spec import ProviderSpec

__all__ = ["Profile", "profile_model"]

_TIMEOUT_S: Final = 600.0
_MEMORY_BYTES: Final = 16 << 30


@dataclass(frozen=True, slots=True)
class Profile:
    """A model that ran on a provider.

    Attributes:
        subject: the model and the sizes it ran at.
        examination: what the provider did.
        node_us: microseconds of a run by node; in parentheses what the runtime added.
    """

    subject: Subject
    examination: Examination
    node_us: dict[str, float]


def profile_model(
    path: Path, spec: ProviderSpec, *, threads: int = 1, dims: Mapping[str, int] | None = None
) -> Profile:
    """Run a model on a provider in a child process and see where the time goes.

    Args:
        path: the file.
        spec: the provider.
        threads: threads within an operator.
        dims: sizes of symbolic dimensions.

    Raises:
        ProviderUnavailableError: the provider is missing, or did not run the model rightly.
        InvalidModelError: the model runs nowhere.
    """
    subject = runnable(path, dims=dims or {}, batch=None)
    examination: Examination = call_on(
        spec, "onnxprune.providers.check:examine",
        {"model": subject.path, "recipe": make_recipe([subject], seed=0),
         "threads": threads, "tolerance": max(spec.facts.tolerance, subject.rounding)},
        timeout_s=_TIMEOUT_S,
        memory_limit_bytes=_MEMORY_BYTES if spec.facts.device == "cpu" else None,
        task=f"profiling {path.name} on {spec.text}",
    )  # fmt: skip
    times: dict[str, float] = {}
    for entry in attribute(examination.placement.kernels, subject.graph, subject.macs):
        times[entry.node] = times.get(entry.node, 0.0) + entry.us
    return Profile(subject, examination, times)
