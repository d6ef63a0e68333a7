"""The table of allocations and what an allocation may look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from onnxprune import plugins
from onnxprune.errors import InvalidConfigError
from onnxprune.registry import Registry, summary_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnxprune.allocation.knapsack import Offer
    from onnxprune.core.labels import LabelArray
    from onnxprune.core.steps import Candidate, Scores

Share = Callable[["AllocationContext"], "list[Scores]"]


@dataclass(frozen=True, slots=True)
class AllocationContext:
    """What an allocation may look at.

    Attributes:
        candidates: groups with their steps, least important first.
        remaining: what remains when candidates give so many steps each, in the unit of the target.
        goal: what may remain.
        distortion: returns how far silencing some atoms takes the outputs, None without samples.
        offers: returns the damage to expect at some levels of each candidate, None without samples.
    """

    candidates: Sequence[Candidate]
    remaining: Callable[[Sequence[int]], float]
    goal: float
    distortion: Callable[[LabelArray], float] | None = None
    offers: Callable[[], Sequence[Offer]] | None = None


@dataclass(frozen=True, slots=True)
class Allocation:
    """Which group gives how much; called with a context.

    Attributes:
        name: its name.
        function: returns the priority of every step of every candidate, low leaves first.
        samples: whether it needs samples.
        module: where it is defined.
        summary: what it does, in a line.
    """

    name: str
    function: Share
    samples: bool
    module: str
    summary: str

    def __call__(self, context: AllocationContext) -> list[Scores]:
        """Return the priority of every step of every candidate."""
        return self.function(context)


ALLOCATIONS: Registry[Allocation] = Registry("allocation", plugins.ALLOCATIONS)


def allocation(name: str, *, samples: bool = False) -> Callable[[Share], Share]:
    """Register an allocation: context -> priority of every step, low leaves first.

    Priorities must not fall within a candidate: its steps leave in order.

    Args:
        name: its name.
        samples: whether it needs samples.

    Raises:
        PluginError: when the name is taken.
    """
    module = plugins.registering_module()

    def decorate(function: Share) -> Share:
        ALLOCATIONS.register(Allocation(name, function, samples, module, summary_of(function)))
        return function

    return decorate


def find_allocation(name: str, *, samples: bool) -> Allocation:
    """Return an allocation by its name; plug-ins are loaded when it is none of ours.

    Args:
        name: its name.
        samples: whether there are samples.

    Raises:
        InvalidConfigError: there is none, or it needs samples.
    """
    found = ALLOCATIONS.find(name)
    if found.samples and not samples:
        message = f"allocation {name} chooses with samples, and there are none"
        raise InvalidConfigError(message, hint="give some with --calibration")
    return found
