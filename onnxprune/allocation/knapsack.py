"""Share out a target as a multiple-choice knapsack: one level for every group.

Every group offers numbers of steps with an expected damage; exactly one number of each is taken so
that the damage is least and the target is met. What a step saves depends on how much its neighbours
keep, so savings are measured around the current answer and the problem is solved again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import optimize

from onnxprune.allocation.registry import allocation
from onnxprune.errors import TargetError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from onnxprune.allocation.registry import AllocationContext
    from onnxprune.core.steps import Scores

    Remaining = Callable[[Sequence[int]], float]

ROUNDS = 6
"""Times the problem is solved at most."""

_MEASURED = 6
"""Levels of a group whose cost is measured in a round."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What one group can give.

    Attributes:
        counts: numbers of steps, rising from 0.
        damage: expected damage of each.
    """

    counts: tuple[int, ...]
    damage: tuple[float, ...]


@allocation("knapsack", samples=True)
def levels(context: AllocationContext) -> list[Scores]:
    """The level of each group that adds up to the least damage, by held-back error curves."""
    assert context.offers is not None
    counts = knapsack(context.offers(), context.goal, context.remaining)
    return [
        (np.arange(len(c.scores)) >= n).astype(float)
        for c, n in zip(context.candidates, counts, strict=True)
    ]


def knapsack(offers: Sequence[Offer], goal: float, remaining: Remaining) -> list[int]:
    """Return the number of steps of each group.

    Args:
        offers: what the groups can give.
        goal: what may remain.
        remaining: what remains for given numbers of steps.

    Raises:
        TargetError: the target is out of reach.
    """
    everything = [o.counts[-1] for o in offers]
    if remaining(everything) > goal:
        message = f"the target is out of reach: {remaining(everything):.1%} remain at least"
        raise TargetError(message, hint="lower the target, the floors or the alignment")
    levels = _shared(offers, goal, remaining)
    best: tuple[float, list[int]] | None = None
    for _ in range(ROUNDS):
        now = [o.counts[n] for o, n in zip(offers, levels, strict=True)]
        tables = [_savings(now, g, o, remaining) for g, o in enumerate(offers)]
        here = [t[n] for t, n in zip(tables, levels, strict=True)]
        chosen = _solve(offers, tables, here, remaining(now) - goal)
        if chosen is None:
            break
        chosen = _meet(offers, chosen, goal, remaining)
        damage = sum(o.damage[n] for o, n in zip(offers, chosen, strict=True))
        if best is not None and damage >= best[0] * (1 - 1e-6):
            break
        best, levels = (damage, chosen), chosen
    if best is None:
        best = (0.0, _meet(offers, levels, goal, remaining))
    return [o.counts[n] for o, n in zip(offers, best[1], strict=True)]


def _shared(offers: Sequence[Offer], goal: float, remaining: Remaining) -> list[int]:
    """Find the levels at which every group has the same damage and the target is just met."""
    limits = np.unique(np.concatenate([o.damage for o in offers]))
    low, high = 0, len(limits) - 1

    def levels(number: int) -> list[int]:
        return [int(np.searchsorted(o.damage, limits[number], "right")) - 1 for o in offers]

    while low < high:
        middle = (low + high) // 2
        counts = [o.counts[n] for o, n in zip(offers, levels(middle), strict=True)]
        low, high = (low, middle) if remaining(counts) <= goal else (middle + 1, high)
    return levels(low)


def _savings(now: list[int], number: int, offer: Offer, remaining: Remaining) -> np.ndarray:
    """Return what remains for each choice of one group, as the others are.

    Costs are all but straight lines in the number of channels of one group, so a few are measured.
    """
    measured = sorted({round(i) for i in np.linspace(0, len(offer.counts) - 1, _MEASURED)})
    found = []
    for level in measured:
        trial = list(now)
        trial[number] = offer.counts[level]
        found.append(remaining(trial))
    return np.interp(offer.counts, [offer.counts[i] for i in measured], found)


def _solve(
    offers: Sequence[Offer], tables: Sequence[np.ndarray], here: Sequence[float], excess: float
) -> list[int] | None:
    """Choose one level per group; savings are taken to add up around the current answer."""
    damage = np.concatenate([o.damage for o in offers])
    change = np.concatenate([t - h for t, h in zip(tables, here, strict=True)])
    owner = np.repeat(np.arange(len(offers)), [len(o.counts) for o in offers])
    one_each = (owner[None, :] == np.arange(len(offers))[:, None]).astype(float)
    result = optimize.milp(
        damage / max(damage.max(), 1e-30),
        integrality=np.ones(len(damage)),
        bounds=optimize.Bounds(0, 1),
        constraints=[
            optimize.LinearConstraint(one_each, 1, 1),
            optimize.LinearConstraint(change[None, :], -np.inf, -excess),
        ],
        options={"time_limit": 10.0, "mip_rel_gap": 1e-3},
    )
    if result.x is None:
        return None
    return [int(np.argmax(result.x[owner == g])) for g in range(len(offers))]


def _meet(
    offers: Sequence[Offer], levels: Sequence[int], goal: float, remaining: Remaining
) -> list[int]:
    """Take single levels, cheapest first, until the target is met; give back what is not needed."""
    levels = list(levels)

    def left(candidate: Sequence[int]) -> float:
        return remaining([o.counts[n] for o, n in zip(offers, candidate, strict=True)])

    now = left(levels)
    while now > goal:
        best: tuple[float, int, float] | None = None
        for g, offer in enumerate(offers):
            if levels[g] + 1 >= len(offer.counts):
                continue
            trial = [*levels[:g], levels[g] + 1, *levels[g + 1 :]]
            then = left(trial)
            rise = offer.damage[levels[g] + 1] - offer.damage[levels[g]]
            price = rise / max(now - then, 1e-12)
            if best is None or price < best[0]:
                best = price, g, then
        if best is None:
            break
        levels[best[1]] += 1
        now = best[2]
    return _give_back(offers, levels, goal, left)


def _give_back(
    offers: Sequence[Offer], levels: list[int], goal: float, left: Callable[[Sequence[int]], float]
) -> list[int]:
    """Undo single levels, dearest first, as long as the target stays met."""
    while True:
        gains = []
        for g, offer in enumerate(offers):
            if not levels[g]:
                continue
            trial = [*levels[:g], levels[g] - 1, *levels[g + 1 :]]
            if left(trial) <= goal:
                gains.append((offer.damage[levels[g]] - offer.damage[levels[g] - 1], g))
        if not gains:
            return levels
        levels[max(gains)[1]] -= 1
