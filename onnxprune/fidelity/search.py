"""Search for the largest pruning that keeps what it should."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from onnxprune.errors import TargetError
from onnxprune.fidelity.document import SearchStep

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")

SMALLEST: Final = 0.02
"""Two fractions nearer than this are taken for one, and less than this is not worth removing."""


@dataclass(frozen=True, slots=True)
class Found(Generic[Result]):
    """The outcome of a search.

    Attributes:
        result: what the best trial made.
        steps: all trials, in order.
    """

    result: Result
    steps: list[SearchStep]


def search(trial: Callable[[float], tuple[float, Result]], limit: float) -> Found[Result]:
    """Find by bisection the largest fraction that may leave.

    Damage is taken to grow with what leaves; where it does not quite, the result is within the
    limit all the same, because every answer was tried.

    Args:
        trial: removes a fraction and returns what was lost, and what it made; raises TargetError
            where so much cannot leave.
        limit: what may be lost.

    Raises:
        TargetError: even the smallest step loses more.

    Example:
        >>> found = search(lambda x: (x * x, f"{x:.2f}"), 0.1)
        >>> found.result, len(found.steps)
        ('0.31', 6)
    """
    low, high = 0.0, 1.0
    steps: list[SearchStep] = []
    best: list[Result] = []
    while high - low > SMALLEST:
        fraction = round((low + high) / 2, 4)
        drop: float | None = None
        try:
            drop, result = trial(fraction)
        except TargetError:
            kept = False
        else:
            kept = drop <= limit
            if kept:
                best = [result]
        steps.append(SearchStep(remove_macs=fraction, drop=drop, kept=kept))
        low, high = (fraction, high) if kept else (low, fraction)
    if not best:
        least = steps[-1]
        seen = "so little cannot be removed" if least.drop is None else f"{least.drop:.4g} is lost"
        message = f"no pruning loses at most {limit:g}: with {least.remove_macs:.1%} of the"
        message += f" multiply-accumulates gone, {seen}"
        raise TargetError(message, hint="allow a larger drop, or give more samples")
    return Found(best[0], steps)
