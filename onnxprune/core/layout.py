"""How a cut lies in a file: what is there although nobody reads it, and in which order.

A consumer that ignores a channel need not lose it: with zeros in its weights it may keep reading
it, where that is cheaper than a copy without it. And the channels of a stream may stand in another
order, if all that makes and reads them is permuted alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from onnxprune.core.dependencies import Dependencies
    from onnxprune.core.labels import Factor, LabelArray

    Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Layout:
    """Where every label set stands.

    Attributes:
        deps: the analysis.
        removed: flag per label: what no consumer reads.
        cut: flag per label: what is not in the file; a part of `removed`.
        holds: per label set, the one whose content stands in its place.
        joined: outputs of concatenations behind which one copy serves all operands.
        apart: outputs of operators that are written once for every consumer.
    """

    deps: Dependencies
    removed: Flags
    cut: Flags
    holds: LabelArray
    joined: frozenset[str] = frozenset()
    apart: frozenset[str] = frozenset()

    @cached_property
    def slots(self) -> Flags:
        """Flag per label: whether its place is left out."""
        return np.asarray(self.cut[self.holds[self.deps.roots]])

    @property
    def plain(self) -> bool:
        """Whether all that is removed is left out and nothing changes its place."""
        return np.array_equal(self.cut, self.removed) and np.array_equal(
            self.holds, np.arange(len(self.holds))
        )

    @cached_property
    def _summed(self) -> Flags:
        """Flag per label: whether an operator sums over it in what is constant."""
        flags = np.zeros(len(self.deps.roots), bool)
        for labels in self.deps.ctx.consumed:
            flags[labels] = True
        return flags

    def order(self, factor: Factor) -> LabelArray | None:
        """Return which index stands at every place of an axis; None when nothing moves."""
        roots = self.deps.roots[factor.labels]
        wanted = self.holds[roots]
        if np.array_equal(roots, wanted):
            return None
        assert roots.ndim == 1, "only single axes are permuted"
        # the k-th index of a set takes the place of the k-th index of another
        order = np.empty(len(roots), np.int64)
        order[np.argsort(wanted, kind="stable")] = np.argsort(roots, kind="stable")
        return order

    def arrange(self, key: str) -> Callable[[np.ndarray], np.ndarray] | None:
        """Return what turns a parameter's content into its place: zeros, and another order.

        The same for a value that takes the place of a parameter.
        """
        zeros: list[tuple[tuple[int, ...], Flags]] = []
        orders: list[tuple[int, LabelArray]] = []
        ignored = self.removed & ~self.cut
        consumed = {(p.axes, p.level): p.consumed for p in self.deps.slices if p.parameter == key}
        ctx = self.deps.ctx
        for factor in ctx.sources.get(key) or ctx.factors_of.get(key, ()):
            flags = ignored[factor.labels]
            summed = bool(self._summed[factor.labels].all())
            if flags.any() and consumed.get((factor.axes, factor.level), summed):
                zeros.append((factor.axes, flags))
            order = self.order(factor)
            if order is not None:
                orders.append((factor.axes[0], order))
        if not zeros and not orders:
            return None

        def arranged(array: np.ndarray) -> np.ndarray:
            for axes, flags in zeros:
                dims = [s if a in axes else 1 for a, s in enumerate(array.shape)]
                mask = flags.transpose(np.argsort(axes)).reshape(dims)
                array = np.where(mask, array.dtype.type(0), array)
            for axis, order in orders:
                array = array.take(order, axis)
            return array

        return arranged


def plain_layout(deps: Dependencies, removed: Flags) -> Layout:
    """Return the layout without padding and in the order of the original."""
    return Layout(deps, removed, removed, np.arange(len(deps.roots)))
