"""What leaves with what, where consumers of a value drop channels of their own.

A Select gives a consumer labels of its own *below* those of the value. A label set that leaves
takes all below it along. Where nothing but Selects reads a set, it leaves once everything below has
left: producers keep the union of what is wanted somewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from onnxprune.core.context import LabelContext
    from onnxprune.core.labelling import Contraction
    from onnxprune.core.labels import LabelArray

    Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Hierarchy:
    """Pairs of label sets, one below the other.

    Attributes:
        above: the set of the value, by pair.
        below: the set of the consumer, by pair.
        follows: flag per label: sets that leave when all below them left, and never on their own.
        idle: flag per label: sets that nothing needs, which leave with what is above.
    """

    above: LabelArray
    below: LabelArray
    follows: Flags
    idle: Flags

    def __bool__(self) -> bool:
        """Whether there are Selects at all."""
        return bool(self.above.size)

    def closed(self, removed: Flags) -> Flags:
        """Return what leaves with some sets.

        Args:
            removed: flag per label, set for representatives.
        """
        removed = self.downwards(removed)
        needed = ~self.idle[self.below]
        while True:
            kept = needed & ~removed[self.below]
            holds = np.zeros(len(removed), bool)
            holds[self.above[kept]] = True
            new = self.follows & ~holds & ~removed
            if not new.any():
                return removed
            removed = self.downwards(removed | new)

    def downwards(self, removed: Flags) -> Flags:
        """Return some sets and all below them."""
        return self._spread(removed, self.above, self.below)

    def upwards(self, flags: Flags) -> Flags:
        """Return some sets and all above them."""
        return self._spread(flags, self.below, self.above)

    def with_idle(self, cut: Flags) -> Flags:
        """Return a cut in which sets that nothing needs are there as long as what is above.

        So no copy is made to be rid of them.
        """
        pairs = self.idle[self.below]
        return cut & ~self._spread(~cut, self.above[pairs], self.below[pairs])

    @staticmethod
    def _spread(flags: Flags, start: LabelArray, end: LabelArray) -> Flags:
        flags = flags.copy()
        while True:
            reached = end[flags[start] & ~flags[end]]
            if not reached.size:
                return flags
            flags[reached] = True


def roots_without_cycles(ctx: LabelContext) -> LabelArray:
    """Return the representative of every label; sets that are below each other become one."""
    while True:
        roots = ctx.labels.find(np.arange(len(ctx.labels)))
        above, below = _pairs(ctx, roots)
        while above.size:  # take away what leads nowhere
            goes_on = np.zeros(len(roots), bool)
            goes_on[above] = True
            inside = goes_on[below]
            if inside.all():
                break
            above, below = above[inside], below[inside]
        if not above.size:
            return roots
        graph: nx.DiGraph[int] = nx.DiGraph(zip(above.tolist(), below.tolist(), strict=True))
        for members in map(sorted, nx.strongly_connected_components(graph)):
            ctx.labels.unite(np.array(members[:1]), np.array(members[1:], np.int64))


def build_hierarchy(
    ctx: LabelContext, roots: LabelArray, *, held: Flags, present: Flags, balanced: Flags
) -> Hierarchy:
    """Find which label sets follow others.

    Args:
        ctx: the labels after the walk.
        roots: representative of every label.
        held: sets that never leave, or only approximately.
        present: sets that stand in a parameter.
        balanced: sets of which rows must keep equally many.
    """
    above, below = _pairs(ctx, roots)
    nothing = np.zeros(len(roots), bool)
    if not above.size:
        return Hierarchy(above, below, nothing, nothing)
    read = _read(ctx, roots)
    plain = Hierarchy(above, below, nothing, nothing)
    idle = ~plain.upwards(held | present | read)
    follows = nothing.copy()
    follows[above[~idle[below]]] = True
    follows &= ~(held | read | balanced)
    follows[0] = False
    return Hierarchy(above, below, follows, idle)


def _pairs(ctx: LabelContext, roots: LabelArray) -> tuple[LabelArray, LabelArray]:
    empty = [np.zeros(0, np.int64)]
    above = roots[np.concatenate([a for a, _ in ctx.below] or empty)]
    below = roots[np.concatenate([b for _, b in ctx.below] or empty)]
    apart = (above != below) & (above != 0) & (below != 0)
    return above[apart], below[apart]


def _read(ctx: LabelContext, roots: LabelArray) -> Flags:
    """Return the sets that some operator sums over."""
    read = np.zeros(len(roots), bool)
    for labels in ctx.consumed:
        read[roots[labels]] = True
    for contraction in ctx.contractions:
        read[read_at(ctx, roots, contraction)] = True
    return read


def read_at(ctx: LabelContext, roots: LabelArray, contraction: Contraction) -> LabelArray:
    """Return the sets that end at a contraction; rows go on, and channels of depthwise ones."""
    found = [np.zeros(0, np.int64)]
    for factor in ctx.factors_of.get(contraction.node.inputs[contraction.position], ()):
        if not set(factor.axes) & set(contraction.axes):
            continue
        rest = set(factor.axes) - set(contraction.axes)
        collapses = bool(rest) and factor.axes[-1] not in contraction.axes
        rows = factor.level and (rest or contraction.per_group)
        if not (collapses or rows or contraction.per_group == 1):
            found.append(np.unique(roots[factor.labels]))
    return np.concatenate(found)
