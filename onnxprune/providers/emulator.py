"""Whether a provider computes on an emulator here: that proves results, and never a latency."""

from __future__ import annotations

import os
import platform
import re
import struct
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onnxprune.providers.facts import ProviderFacts

__all__ = ["emulated_machine", "emulation"]

# How Vulkan's loader is told which driver to take, and what the software ones are called.
_DRIVER_VARIABLES: Final = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES", "VK_ADD_DRIVER_FILES")
_SOFTWARE: Final = re.compile(r"swiftshader|lvp_icd|llvmpipe|lavapipe", re.IGNORECASE)

# By machine, the programs that its kernel runs itself (e_machine of their ELF header).
_NATIVE: Final = {"aarch64": {183, 40}, "riscv64": {243}, "x86_64": {62, 3}}
_ELF_MACHINE: Final = struct.Struct("<18xH")


def emulation(
    facts: ProviderFacts,
    *,
    machine: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Return what a provider computes on when that is an emulator, and "" when it is none.

    Args:
        facts: The provider.
        machine: The machine, as `platform.machine` names it; this one by default, which may be
            emulated itself.
        environment: Variables of the environment; this process's by default.

    Examples:
        >>> from onnxprune.providers import find_provider
        >>> emulation(find_provider("qnn"), machine="x86_64")
        'the x86_64 emulator of its package'
        >>> emulation(find_provider("cpu"), machine="x86_64")
        ''
    """
    if machine is None and emulated_machine():
        return f"an emulator of {emulated_machine()}"
    machine = machine or platform.machine()
    if machine in facts.emulated_on:
        return f"the {machine} emulator of its package"
    environment = os.environ if environment is None else environment
    if facts.device == "gpu":
        for variable in _DRIVER_VARIABLES:
            if match := _SOFTWARE.search(environment.get(variable, "")):
                return f"a software adapter ({match[0]})"
    return ""


def emulated_machine() -> str:
    """Return the machine that this process is made to believe it runs on, "" for a real one.

    Under user-mode emulation (qemu-user, box64) the program that the kernel runs is the emulator,
    of another architecture than what the process is told. Emulators answer for /proc/self/exe, and
    not for the same link below the thread.
    """
    machine = platform.machine()
    program = Path(f"/proc/self/task/{threading.get_native_id()}/exe")
    try:
        with program.open("rb") as stream:
            [found] = _ELF_MACHINE.unpack(stream.read(_ELF_MACHINE.size))
    except (OSError, struct.error):
        return ""
    return machine if found not in _NATIVE.get(machine, {found}) else ""
