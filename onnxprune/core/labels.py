"""Channel labels: the union-find over them, and factors, the label arrays that values carry.

Every index of every parameter axis owns an integer label. A value carries *factors*: label arrays
over one or more of its axes. An element of the value is removed if and only if one of its factors
says so; axes that no factor names are frozen. Label 0 is never removed.

A factor over several axes keeps its axes in major-to-minor order of the flat axis it came from. Its
last axis is the one along which survivors close up, the others enumerate rows: what remains must be
a rectangle, so all surviving rows keep equally many elements (a *balance* constraint).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    LabelArray = NDArray[np.int64]

FIXED = 0
"""The label of an index that can never be removed."""

MAX_FACTOR_ELEMENTS = 1 << 24
"""A factor larger than this is frozen instead of stored."""


class UnionFind:
    """Disjoint sets of labels with array operations; label 0 exists from the start."""

    def __init__(self) -> None:
        self._parent = np.zeros(1024, np.int64)
        self._size = 1

    def __len__(self) -> int:
        return self._size

    def fresh(self, count: int) -> LabelArray:
        """Return `count` new labels, each in a set of its own."""
        start, self._size = self._size, self._size + count
        if self._size > len(self._parent):
            grown = np.zeros(max(self._size, 2 * len(self._parent)), np.int64)
            grown[:start] = self._parent[:start]
            self._parent = grown
        labels = np.arange(start, self._size)
        self._parent[start : self._size] = labels
        return labels

    def find(self, labels: LabelArray) -> LabelArray:
        """Return the representative of each label's set, in the shape of `labels`."""
        roots = self._parent[labels]
        while True:
            above = self._parent[roots]
            if np.array_equal(above, roots):
                break
            roots = above
        self._parent[labels] = roots
        return roots

    def unite(self, first: LabelArray, second: LabelArray) -> None:
        """Merge the sets of `first` and `second`, position by position (shapes broadcast)."""
        first, second = np.broadcast_arrays(first, second)
        first, second = first.ravel(), second.ravel()
        while True:
            a, b = self.find(first), self.find(second)
            differ = a != b
            if not differ.any():
                return
            a, b = a[differ], b[differ]
            self._parent[np.maximum(a, b)] = np.minimum(a, b)
            first, second = first[differ], second[differ]


@dataclass(frozen=True, slots=True, eq=False)
class Factor:
    """Labels over some axes of a value.

    Attributes:
        axes: the axes, in the order of the dimensions of `labels`; the last is the one that closes
            up, the others enumerate rows.
        labels: one label per index combination, shape = sizes of `axes`.
        level: 0 for single elements, 1 for whole rows (heads, convolution groups).
    """

    axes: tuple[int, ...]
    labels: LabelArray
    level: int = 0

    def rename(self, axes: Iterable[int]) -> Factor:
        """Return the same labels over other axes, given in the order of `self.axes`."""
        return Factor(tuple(axes), self.labels, self.level)

    def over(self, axes: Sequence[int], sizes: Sequence[int]) -> LabelArray:
        """Return the labels broadcast to an array over `axes`, a superset of `self.axes`."""
        order = [self.axes.index(a) for a in axes if a in self.axes]
        shape = [s if a in self.axes else 1 for a, s in zip(axes, sizes, strict=True)]
        return np.broadcast_to(self.labels.transpose(order).reshape(shape), tuple(sizes))


Factors = tuple[Factor, ...]


def tidy(axes: Sequence[int], labels: LabelArray, level: int = 0) -> Factor | None:
    """Make a factor without the axes along which labels do not vary; None when none remains.

    The caller freezes the labels when None comes back: nothing of such a value can be cut.
    """
    if not labels.size:
        return None
    kept = []
    for position in range(labels.ndim):
        first = labels.take([0], position)
        if labels.shape[position] > 1 and not np.array_equal(
            np.broadcast_to(first, labels.shape), labels
        ):
            kept.append(position)
    if not kept:
        return None
    index = tuple(slice(None) if p in kept else 0 for p in range(labels.ndim))
    return Factor(tuple(axes[p] for p in kept), np.ascontiguousarray(labels[index]), level)


@dataclass(frozen=True, slots=True)
class ReshapeBlock:
    """Neighbouring input axes that a reshape turns into neighbouring output axes."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def reshape_blocks(before: Sequence[int], after: Sequence[int]) -> list[ReshapeBlock]:
    """Split a reshape into the smallest independent blocks of axes.

    Args:
        before: input shape, all sizes positive.
        after: output shape with the same number of elements.
    """
    blocks: list[ReshapeBlock] = []
    i = j = 0
    while i < len(before) or j < len(after):
        i0, j0 = i, j
        left = right = 1
        if i < len(before):
            left, i = before[i], i + 1
        if j < len(after):
            right, j = after[j], j + 1
        while left != right:
            if left < right:
                left, i = left * before[i], i + 1
            else:
                right, j = right * after[j], j + 1
        blocks.append(ReshapeBlock(tuple(range(i0, i)), tuple(range(j0, j))))
    return blocks


def reshape_factor(
    factor: Factor,
    before: Sequence[int],
    after: Sequence[int],
    *,
    flatten: Callable[[Factor], Factor],
) -> tuple[tuple[int, ...], LabelArray] | None:
    """Carry a factor through a reshape.

    Args:
        factor: a factor of the input.
        before: input shape.
        after: output shape.
        flatten: reduces a several-axes factor whose axes do not stand in the order of the value's
            axes to a factor over one axis, uniting labels.

    Returns:
        Output axes and labels over them, untidied, or None when the array would be too large.
    """
    blocks = reshape_blocks(before, after)
    touched = [b for b in blocks if set(b.inputs) & set(factor.axes)]
    if all(before[a] == 1 or a in factor.axes for b in touched for a in b.inputs) and all(
        [before[a] for a in b.inputs if before[a] > 1]
        == [after[a] for a in b.outputs if after[a] > 1]
        for b in touched
    ):  # only sizes of one come or go: rename, whatever the order of the axes
        names: dict[int, int] = {}
        for b in touched:
            solid = [a for a in b.outputs if after[a] > 1]
            names.update(zip((a for a in b.inputs if before[a] > 1), solid, strict=True))
        if all(a in names for a in factor.axes):
            return tuple(names[a] for a in factor.axes), factor.labels
    if list(factor.axes) != sorted(factor.axes):
        factor = flatten(factor)
        touched = [b for b in blocks if set(b.inputs) & set(factor.axes)]
    in_axes = [a for b in touched for a in b.inputs]
    out_axes = [a for b in touched for a in b.outputs]
    sizes = [before[a] for a in in_axes]
    if int(np.prod(sizes)) > MAX_FACTOR_ELEMENTS:
        return None
    spread = factor.over(in_axes, sizes)
    return tuple(out_axes), spread.reshape([after[a] for a in out_axes])
