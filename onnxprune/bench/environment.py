"""The machine and the software that a measurement was made with: this machine, or a target."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import onnx

from onnxprune.bench.document import MachineEntry
from onnxprune.errors import ProviderUnavailableError
from onnxprune.providers.interpreter import call_in
from onnxprune.runtime import machine

if TYPE_CHECKING:
    from onnxprune.targets import Target

__all__ = ["describe_machine", "load_average"]


_TIMEOUT_S: Final = 120.0


def describe_machine(target: Target | None = None) -> MachineEntry:
    """Return what is known of a machine.

    Args:
        target: Which one; None for this.

    Raises:
        ProviderUnavailableError: There is no reaching it.
    """
    found = machine.describe()
    if target is not None:
        found = call_in(
            target, "onnxprune.runtime.machine:describe", {}, timeout_s=_TIMEOUT_S,
            memory_limit_bytes=None, task="looking at the machine",
        )  # fmt: skip
    return MachineEntry(**asdict(found), onnx=onnx.__version__)


def load_average(target: Target | None = None) -> list[float] | None:
    """Return the load over 1, 5 and 15 minutes, None where the system does not tell."""
    try:
        return describe_machine(target).load_average
    except ProviderUnavailableError:  # what was measured before stands
        return None
