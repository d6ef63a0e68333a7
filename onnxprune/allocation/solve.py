"""Meet a target: take steps in the order of their priority until the model is small enough."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from onnxprune.errors import TargetError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from onnxprune.core.steps import Candidate, Scores

    Measure = Callable[[Sequence[int]], float]

Metric = Literal["ratio", "params", "macs", "bytes", "latency"]


COARSE = 0.01
"""Share of the model by which a target may be missed before it is worth a word."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a plan has to reach.

    Attributes:
        metric: `ratio` takes the fraction from every group; the others speak of the whole model.
        amount: fraction to remove, or bytes that may remain.
    """

    metric: Metric
    amount: float

    @property
    def goal(self) -> float:
        """What may remain: bytes, or a fraction."""
        return self.amount if self.metric == "bytes" else 1.0 - self.amount


def solve(
    candidates: Sequence[Candidate],
    priorities: Sequence[Scores],
    target: Target,
    remaining: Measure,
) -> list[int]:
    """Return how many steps each candidate gives.

    Args:
        candidates: groups with their steps.
        priorities: priority of every step.
        target: what to reach; for a whole-model metric the fewest steps that reach it are taken.
        remaining: cost that remains for given numbers of steps, in the unit of the target: a
            fraction of the model, or bytes.

    Raises:
        TargetError: when the target is out of reach.
    """
    order = _order(candidates, priorities)

    def counts(taken: int) -> list[int]:
        found = np.bincount(order[:taken], minlength=len(candidates))
        return [c.clip(int(n)) for c, n in zip(candidates, found, strict=True)]

    if target.metric == "ratio":
        return counts_of_ratio(candidates, priorities, target.amount)
    goal = target.goal
    if remaining(counts(0)) <= goal:
        return counts(0)
    low, high = 0, len(order)
    if remaining(counts(high)) > goal:
        best = remaining(counts(high))
        what = f"{best:.0f} bytes remain" if target.metric == "bytes" else f"{1 - best:.1%} can go"
        message = f"the target on {target.metric} is out of reach: at most {what}"
        raise TargetError(message, hint="lower the target, the floors or the alignment")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if remaining(counts(middle)) <= goal else (middle, high)
    return _finer(candidates, counts(low), counts(high), goal, remaining)


def _finer(
    candidates: Sequence[Candidate],
    few: Sequence[int],
    many: list[int],
    goal: float,
    remaining: Measure,
) -> list[int]:
    """Give back what the last group lost too much, where its alignment is not firm.

    Args:
        candidates: groups with their steps.
        few: numbers of steps that miss the goal.
        many: numbers that meet it, which differ in one group.
        goal: what may remain.
        remaining: cost that remains for given numbers of steps.
    """
    excess = COARSE * remaining([0] * len(many))
    for number, candidate in enumerate(candidates):
        step = candidate.limits.align
        while few[number] != many[number] and not candidate.limits.firm and step > 1:
            if goal - remaining(many) <= excess:
                break
            step //= 2
            finer = replace(candidate, limits=replace(candidate.limits, align=step))
            for count in sorted({finer.clip(n) for n in range(few[number], many[number])}):
                tried = [*many[:number], count, *many[number + 1 :]]
                if remaining(tried) <= goal:
                    many = tried
                    break
    return many


def counts_of_ratio(
    candidates: Sequence[Candidate], priorities: Sequence[Scores], ratio: float
) -> list[int]:
    """Return the steps below the threshold that takes `ratio` of all steps."""
    everything = np.sort(np.concatenate([*priorities, np.zeros(0)]))
    if not len(everything):
        return [0] * len(candidates)
    number = round(ratio * len(everything))
    threshold = everything[min(number, len(everything)) - 1] if number else -np.inf
    uniform = all(
        not len(p) or np.allclose(p, (np.arange(len(p)) + 0.5) / c.size)
        for c, p in zip(candidates, priorities, strict=True)
    )
    result = []
    for candidate, priority in zip(candidates, priorities, strict=True):
        wanted = int(np.count_nonzero(priority <= threshold))
        if uniform:
            wanted = round(ratio * candidate.size)
        result.append(candidate.clip(wanted))
    return result


def _order(candidates: Sequence[Candidate], priorities: Sequence[Scores]) -> np.ndarray:
    owners = np.concatenate(
        [np.full(c.limit, i) for i, c in enumerate(candidates)] or [np.zeros(0, np.int64)]
    ).astype(np.int64)
    values = np.concatenate(
        [p[: c.limit] for c, p in zip(candidates, priorities, strict=True)] or [np.zeros(0)]
    )
    return owners[np.argsort(values, kind="stable")]
