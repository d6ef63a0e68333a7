"""Whether a provider computes on an emulator here: that proves results, and never a latency."""

from __future__ import annotations

import os
import platform
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onnxprune.providers.facts import ProviderFacts

__all__ = ["emulation"]

# How Vulkan's loader is told which driver to take, and what the software ones are called.
_DRIVER_VARIABLES: Final = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES", "VK_ADD_DRIVER_FILES")
_SOFTWARE: Final = re.compile(r"swiftshader|lvp_icd|llvmpipe|lavapipe", re.IGNORECASE)


def emulation(
    facts: ProviderFacts,
    *,
    machine: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Return what a provider computes on when that is an emulator, and "" when it is none.

    Args:
        facts: The provider.
        machine: The machine, as `platform.machine` names it; this one by default.
        environment: Variables of the environment; this process's by default.

    Examples:
        >>> from onnxprune.providers import find_provider
        >>> emulation(find_provider("qnn"), machine="x86_64")
        'the x86_64 emulator of its package'
        >>> emulation(find_provider("cpu"), machine="x86_64")
        ''
    """
    machine = machine or platform.machine()
    if machine in facts.emulated_on:
        return f"the {machine} emulator of its package"
    environment = os.environ if environment is None else environment
    if facts.device == "gpu":
        for variable in _DRIVER_VARIABLES:
            if match := _SOFTWARE.search(environment.get(variable, "")):
                return f"a software adapter ({match[0]})"
    return ""
