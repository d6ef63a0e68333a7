"""Let channels leave a stream for all its consumers at once, where consumers may choose as well.

A channel that one consumer drops saves what that consumer computes; one that all drop saves what
makes it, too. Consumers that choose on their own rarely agree, so the channels of a stream are
offered beside theirs: first some leave for everybody, chosen by what all consumers lose together
as in a constrained network, and then every consumer drops what it wants of the rest. How many
either way is up to the allocation, which thereby has every constrained plan among its choices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from onnxprune.core.dependencies import Dependencies
    from onnxprune.core.groups import Group
    from onnxprune.core.hierarchy import Hierarchy
    from onnxprune.core.labels import LabelArray
    from onnxprune.core.steps import Candidate


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """Channels that leave with all that reads them.

    Attributes:
        group: the channels.
        takes: by label, the atom of the group that takes it along, 0 for none.
    """

    group: Group
    takes: LabelArray


def shared_streams(deps: Dependencies, groups: Sequence[Group]) -> list[Stream]:
    """Return the streams whose consumers may all choose, those that take most along first.

    Args:
        deps: the analysis.
        groups: groups of consumers that may lose channels.
    """
    hierarchy = deps.hierarchy
    if not hierarchy:
        return []
    free = hierarchy.idle | hierarchy.follows
    for group in groups:
        if not group.balances:
            free[group.atoms] = True
    found = []
    for group in deps.groups:
        if not group.follows or group.balances or not group.exact:
            continue
        takes = _takes(hierarchy, group.atoms)
        if free[takes > 0].all():
            found.append(Stream(group, takes))
    return sorted(found, key=lambda s: -int(np.count_nonzero(s.takes)))


def whole_steps(
    candidates: Sequence[Candidate],
    leaving: NDArray[np.bool_],
    remaining: Callable[[LabelArray], float],
    goal: float,
) -> dict[str, int]:
    """Return how many atoms groups lose so that they keep multiples of their steps.

    What a consumer loses with its stream and what it drops itself add up to any number. As many as
    meet the goal go up to the next multiple, those first that are nearest to it, and all others
    down.

    Args:
        candidates: groups without balances, with their steps.
        leaving: flag per label: what leaves so far.
        remaining: cost that remains without some atoms.
        goal: what may remain.
    """
    totals = [int(np.count_nonzero(leaving[c.group.atoms])) for c in candidates]
    pairs = list(zip(candidates, totals, strict=True))
    low = np.array([c.clip(n) for c, n in pairs])
    high = np.array([c.clip(n + (c.size - n) % c.limits.align) for c, n in pairs])
    ordered = [np.concatenate([a[leaving[a]], a[~leaving[a]]]) for a in (c.order for c, _ in pairs)]
    order = np.argsort((low - totals) / np.maximum(high - low, 1), kind="stable")

    def counts(raised: int) -> NDArray[np.int64]:
        found = low.copy()
        found[order[:raised]] = high[order[:raised]]
        return found

    def misses(raised: int) -> bool:
        atoms = [a[:n] for a, n in zip(ordered, counts(raised).tolist(), strict=True)]
        return remaining(np.concatenate(atoms)) > goal

    few, many = -1, len(order)
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (middle, many) if misses(middle) else (few, middle)
    return {c.group.id: int(n) for c, n in zip(candidates, counts(many), strict=True)}


def _takes(hierarchy: Hierarchy, atoms: LabelArray) -> LabelArray:
    takes = np.zeros(len(hierarchy.follows), np.int64)
    takes[atoms] = atoms
    while True:
        new = (takes[hierarchy.above] > 0) & (takes[hierarchy.below] == 0)
        if not new.any():
            return takes
        takes[hierarchy.below[new]] = takes[hierarchy.above[new]]
