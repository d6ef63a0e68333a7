"""The table of allocations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from onnxprune.errors import PluginError

if TYPE_CHECKING:
    from onnxprune.core.steps import Candidate, Scores

Allocation = Callable[["Sequence[Candidate]"], "list[Scores]"]
ALLOCATIONS: dict[str, Allocation] = {}


def allocation(name: str) -> Callable[[Allocation], Allocation]:
    """Register an allocation: candidates -> priority of every step, low leaves first.

    Priorities must not fall within a candidate: its steps leave in order.

    Raises:
        PluginError: when the name is taken.
    """

    def decorate(function: Allocation) -> Allocation:
        if name in ALLOCATIONS:
            message = f"allocation '{name}' is registered by {ALLOCATIONS[name].__module__} already"
            raise PluginError(message)
        ALLOCATIONS[name] = function
        return function

    return decorate
