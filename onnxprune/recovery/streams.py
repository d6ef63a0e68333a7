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
    from collections.abc import Sequence

    from onnxprune.core.dependencies import Dependencies
    from onnxprune.core.groups import Group
    from onnxprune.core.hierarchy import Hierarchy
    from onnxprune.core.labels import LabelArray


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


def _takes(hierarchy: Hierarchy, atoms: LabelArray) -> LabelArray:
    takes = np.zeros(len(hierarchy.follows), np.int64)
    takes[atoms] = atoms
    while True:
        new = (takes[hierarchy.above] > 0) & (takes[hierarchy.below] == 0)
        if not new.any():
            return takes
        takes[hierarchy.below[new]] = takes[hierarchy.above[new]]
