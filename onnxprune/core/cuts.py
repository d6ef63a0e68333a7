"""What remains of every value under a cut, and what a cut changes in a node."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from onnxprune.core.context import LabelContext
    from onnxprune.core.shapes import Shapes


@dataclass(frozen=True, slots=True)
class Change:
    """What a cut changes in one node.

    Attributes:
        attributes: new attribute values; None removes the attribute.
        operands: wanted content of shape operands, by input position.
        gather: (axis, indices) when a Gather has to take the node's place.
        scale_output: factor the output has to be multiplied with.
        failure: why the node cannot follow the cut, "" if it can.
    """

    attributes: dict[str, Any] = field(default_factory=dict)
    operands: dict[int, Sequence[int] | np.ndarray] = field(default_factory=dict)
    gather: tuple[int, np.ndarray] | None = None
    scale_output: float = 1.0
    failure: str = ""


class Cuts:
    """Sizes and kept indices of all values once some labels are removed.

    Args:
        ctx: the labels.
        removed: one flag per label: whether its set leaves.
        shapes: the setting of the symbolic dimensions to speak of.
    """

    def __init__(self, ctx: LabelContext, removed: NDArray[np.bool_], shapes: Shapes) -> None:
        self._ctx = ctx
        self._removed = removed
        self._shapes = shapes
        self._sizes: dict[tuple[str, int], int] = {}

    def known(self, key: str) -> np.ndarray | None:
        """Return the known content of a small value before the cut."""
        return self._shapes.known.get(key)

    def old_shape(self, key: str) -> tuple[int, ...]:
        """Return the shape before the cut."""
        return self._shapes.shapes.get(key) or ()

    def shape(self, key: str) -> tuple[int, ...]:
        """Return the shape after the cut."""
        return tuple(self.size(key, a) for a in range(len(self.old_shape(key))))

    def size(self, key: str, axis: int) -> int:
        """Return the size of an axis after the cut."""
        place = (key, axis)
        if place not in self._sizes:
            self._sizes[place] = self._count(key, axis)
        return self._sizes[place]

    def _count(self, key: str, axis: int) -> int:
        old = self.old_shape(key)[axis]
        kept = self._kept(key, axis)
        if kept is None:
            return old
        count = int(np.count_nonzero(kept))
        return count if len(kept) == old else old * count // len(kept)

    def _kept(self, key: str, axis: int) -> NDArray[np.bool_] | None:
        kept: NDArray[np.bool_] | None = None
        for factor in self._ctx.factors_of.get(key, ()):
            if factor.axes == (axis,):
                mask = ~self._removed[factor.labels]
                kept = mask if kept is None else kept & mask
        for factor in self._ctx.factors_of.get(key, ()):
            if len(factor.axes) > 1 and factor.axes[-1] == axis:
                rows = ~self._removed[factor.labels].reshape(-1, factor.labels.shape[-1])
                fullest = rows[int(np.argmax(rows.sum(axis=1)))]
                kept = fullest if kept is None else kept & fullest
            elif axis in factor.axes[:-1]:  # rows of which nothing remains are gone
                others = tuple(i for i, a in enumerate(factor.axes) if a != axis)
                left = np.asarray(~self._removed[factor.labels].all(axis=others))
                kept = left if kept is None else kept & left
        return kept

    def has_rows(self, key: str, axis: int) -> bool:
        """Tell whether rows of a value lose different indices of an axis."""
        for factor in self._ctx.factors_of.get(key, ()):
            if len(factor.axes) > 1 and factor.axes[-1] == axis:
                rows = self._removed[factor.labels].reshape(-1, factor.labels.shape[-1])
                if (rows != rows[0]).any():
                    return True
        return False

    def keep(self, key: str, axis: int) -> NDArray[np.bool_]:
        """Return which indices of an axis remain (of the fullest row, where rows differ)."""
        kept = self._kept(key, axis)
        return np.ones(self.old_shape(key)[axis], bool) if kept is None else kept

    def count_before(self, key: str, axis: int, index: int) -> int:
        """Return how many indices below `index` remain, the same in every row."""
        return int(np.count_nonzero(self.keep(key, axis)[:index]))

    def is_cut(self, key: str, axis: int) -> bool:
        """Tell whether an axis loses indices."""
        return self.size(key, axis) != self.old_shape(key)[axis]
