"""The labels of values, and what holds between them: united, frozen, balanced, approximate."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.core.graph import LABELLED_TYPES
from onnxprune.core.labels import FIXED, Factor, UnionFind, tidy

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from onnxprune.core.graph import Graph, Node, Parameter
    from onnxprune.core.labels import Factors, LabelArray
    from onnxprune.core.shapes import Shapes

RowTable = dict[tuple[str, int], "LabelArray"]
"""Row number (1, 2, ..., 0 = none) of each index of a labelled axis, from an earlier run."""


RANDOM = frozenset(("Bernoulli", "Dropout", "Multinomial", "RandomNormalLike", "RandomUniformLike"))
"""Operators whose output may differ from run to run."""

_LITTLE = 1 << 20
"""So many elements may be computed ahead however small the weights are."""


@dataclass(frozen=True, slots=True)
class FrozenReason:
    """Why labels may not leave, or leave only approximately.

    Attributes:
        value: key of the value where it was decided.
        axis: axis of that value, -1 when it concerns all.
        node: where the node is, for people.
        op: operator type, "" for graph inputs and outputs.
        reason: the reason in words.
    """

    value: str
    axis: int
    node: str
    op: str
    reason: str


@dataclass(frozen=True, slots=True)
class Contraction:
    """An input that a node sums over: removing what leaves equals zeroing it there.

    Attributes:
        node: the node.
        position: index of the input.
        axes: contracted axes of the input.
        zero: index of the input that holds the value of zero of quantised data, None for 0.
        zero_axes: axes of the input that those of `zero` lie along, where they are not its last.
        per_group: how many elements are summed together where groups are apart, None for all; 1 is
            depthwise, where nothing is summed.
    """

    node: Node
    position: int
    axes: tuple[int, ...]
    zero: int | None = None
    per_group: int | None = None
    zero_axes: tuple[int, ...] = ()


class Labelling:
    """Labels of all values of a graph, and what holds between them, during one run of the rules."""

    def __init__(
        self,
        graph: Graph,
        shapes: Shapes,
        *,
        rows: RowTable | None = None,
        conv_groups: Mapping[str, int] | None = None,
    ) -> None:
        self.graph = graph
        self.shapes = shapes
        self.parameters: dict[str, Parameter] = graph.all_parameters()
        self.unread = graph.unread()
        self.labels = UnionFind()
        self.row_links = UnionFind()
        self.sources: dict[str, Factors] = {}
        self.labelled: dict[tuple[str, int], LabelArray] = {}
        self.frozen: list[tuple[LabelArray, FrozenReason]] = []
        self.approximated: list[tuple[LabelArray, FrozenReason]] = []
        self.structures: list[LabelArray] = []
        self.asked: list[LabelArray] = []
        self.balances: dict[int, Factor] = {}
        self.contractions: list[Contraction] = []
        self.consumed: list[LabelArray] = []
        self.below: list[tuple[LabelArray, LabelArray]] = []
        self.claimed: set[str] = set()
        self.constants: set[str] = set(self.parameters)
        self.factors_of: dict[str, Factors] = {}
        self.held: list[tuple[Node, LabelArray]] = []
        self.ahead = False
        self._fixed = {k for k, p in self.parameters.items() if not p.overridable}
        self._rows = rows or {}
        self._row_labels: dict[int, int] = {}
        self._conv_groups = conv_groups or {}
        self._node: Node | None = None
        self._most_ahead = max([_LITTLE, *(prod(p.shape) for p in self.parameters.values())])

    # ---- reading and setting -------------------------------------------------------------------

    def enter(self, node: Node | None) -> None:
        """Name the node that the following calls speak for."""
        self._node = node
        self.ahead = node is not None and self._computed_ahead(node)
        if node is not None and self.ahead:
            self._fixed.update(node.outputs)

    def _computed_ahead(self, node: Node) -> bool:
        """Tell whether a node only depends on weights, so that its output could be one as well.

        What a few bytes of a file can blow up to any size is left to the runtime.
        """
        plain = not (node.bodies or node.domain or node.scope or node.op in RANDOM)
        plain = plain and not set(node.outputs) & set(self.graph.outputs)
        plain = plain and all(self._moderate(o) for o in node.outputs if o)
        return plain and bool(node.inputs) and all(i in self._fixed for i in node.inputs if i)

    def _moderate(self, key: str) -> bool:
        shape = self.shape(key)
        return shape is not None and prod(shape) <= self._most_ahead

    def shape(self, key: str) -> tuple[int, ...] | None:
        """Return the shape of a value under the probe sizes, None when unknown."""
        return self.shapes.shape(key)

    old_shape = shape

    def known(self, key: str) -> np.ndarray | None:
        """Return the content of a small integer value that is the same at every size."""
        return self.shapes.known.get(key) if key in self.shapes.static else None

    def probed(self, key: str) -> np.ndarray | None:
        """Return the content of a small integer value at the probe sizes."""
        return self.shapes.known.get(key)

    def fresh(self, *sizes: int) -> LabelArray:
        """Return new labels in an array of the given shape."""
        count = int(np.prod(sizes, dtype=np.int64))
        self.row_links.fresh(count)  # both number the same labels
        return self.labels.fresh(count).reshape(sizes)

    def factors(self, key: str) -> Factors:
        """Return the factors of a value; a parameter gets its labels at the first call."""
        self.claimed.add(key)
        if key in self.factors_of:
            return self.factors_of[key]
        factors: Factors = ()
        parameter = self.parameters.get(key)
        if parameter is not None:
            factors = self._source(parameter)
            self.sources[key] = factors
        self.factors_of[key] = factors
        return factors

    def set(self, key: str, factors: Iterable[Factor]) -> None:
        """Set the factors of an output."""
        shape = self.shape(key)
        if not key or (shape is None and key in self.unread):
            return
        kept = self.unique(factors)
        for factor in kept:
            if shape is None or any(
                axis >= len(shape) or shape[axis] != size
                for axis, size in zip(factor.axes, factor.labels.shape, strict=True)
            ):
                self.freeze(kept, "the label shape differs from the inferred shape")
                kept = ()
                break
            if len(factor.axes) > 1:
                self.balances.setdefault(id(factor.labels), factor)
        self.factors_of[key] = kept

    def _source(self, parameter: Parameter) -> Factors:
        if parameter.dtype not in LABELLED_TYPES or parameter.overridable:
            return ()
        shape = parameter.shape
        factors: list[Factor] = []
        groups = self._conv_groups.get(parameter.key, 1)
        for axis, size in enumerate(shape):
            if size < 2:
                continue
            if axis == 1 and groups > 1 and shape[0] % groups == 0:
                block = self.fresh(groups, size).repeat(shape[0] // groups, axis=0)
                factors.append(Factor((0, 1), block))
                self.balances.setdefault(id(block), factors[-1])
                continue
            factors += self.label(parameter.key, axis, size)
        return tuple(factors)

    def label(self, key: str, axis: int, size: int) -> list[Factor]:
        """Label an axis anew; where an earlier run met rows of it, they get labels as well."""
        labels = self.fresh(size)
        self.labelled[key, axis] = labels
        rows = self._rows.get((key, axis))
        factors = [Factor((axis,), labels)]
        if rows is not None:
            factors.append(Factor((axis,), self._label_rows(rows), 1))
        return factors

    def _label_rows(self, rows: LabelArray) -> LabelArray:
        for number in np.unique(rows[rows > 0]).tolist():
            if number not in self._row_labels:
                self._row_labels[number] = int(self.fresh(1)[0])
        table = np.zeros(int(rows.max()) + 1, np.int64)
        for number in np.unique(rows[rows > 0]).tolist():
            table[number] = self._row_labels[number]
        return table[rows]

    # ---- constraints ---------------------------------------------------------------------------

    def _reason(self, reason: str, value: str = "", axis: int = -1) -> FrozenReason:
        node = self._node
        if node is None:
            return FrozenReason(value, axis, "", "", reason)
        value = value or next((o for o in node.outputs if o), "")
        return FrozenReason(value, axis, node.where, node.op, reason)

    def freeze(self, factors: Iterable[Factor], reason: str, *, value: str = "") -> None:
        """Forbid every label of the factors to leave."""
        for factor in factors:
            axis = factor.axes[-1] if factor.axes else -1
            self.frozen.append((factor.labels.ravel(), self._reason(reason, value, axis)))

    def approximate(self, factors: Iterable[Factor], axes: Collection[int], reason: str) -> None:
        """Mark labels along some axes as removable only approximately.

        Not so where the node can be computed ahead: statistics of weights, as a weight
        normalisation takes them, keep the value that they have in the original.
        """
        for factor in factors:
            if set(factor.axes) & set(axes) and not self._only_rows(factor, axes):
                if self.ahead and self._node is not None:
                    self.held.append((self._node, factor.labels.ravel()))
                    continue
                self.approximated.append(
                    (factor.labels.ravel(), self._reason(reason, axis=factor.axes[-1]))
                )

    @staticmethod
    def _only_rows(factor: Factor, axes: Collection[int]) -> bool:
        return len(factor.axes) > 1 and factor.axes[-1] not in axes

    def unite(self, first: LabelArray, second: LabelArray, *, link: bool = False) -> None:
        """Make labels leave together; a partner of label 0 is frozen.

        Args:
            first: labels.
            second: labels of a shape that broadcasts with the first.
            link: whether the positions correspond one to one, so that both share their rows.
        """
        a, b = (x.ravel() for x in np.broadcast_arrays(first, second))
        fixed = (a == FIXED) != (b == FIXED)
        if fixed.any():
            reason = self._reason("some indices of the partner cannot leave")
            self.frozen.append((np.maximum(a, b)[fixed], reason))
        free = (a != FIXED) & (b != FIXED)
        self.labels.unite(a[free], b[free])
        if link:
            self.row_links.unite(a[free], b[free])

    def structure(self, factor: Factor, row_axes: Collection[int]) -> None:
        """Note that the rows of a factor may leave as wholes (used by the next run)."""
        if factor.level or len(factor.axes) < 2:
            return
        rows = [p for p, a in enumerate(factor.axes) if a in row_axes]
        columns = [p for p, a in enumerate(factor.axes) if a not in row_axes]
        table = factor.labels.transpose(rows + columns)
        count = int(np.prod([factor.labels.shape[p] for p in rows]))
        if 1 < count < factor.labels.size:
            self.structures.append(table.reshape(count, -1))

    def ask_rows(self, lone: Sequence[Factor], partners: Sequence[Factor]) -> None:
        """Note where rows meet single elements only, so that those have rows in the next run."""
        elements = [f for f in partners if not f.level]
        for row in (f for f in lone if f.level and elements):
            for label in np.unique(row.labels[row.labels != FIXED]):
                members = elements[0].labels[row.labels == label]
                if 1 < members.size < row.labels.size:
                    self.asked.append(members)

    def fork(self, factors: Factors, axis: int) -> Factors:
        """Give single indices of an axis labels of their own, below those that they come from.

        What leaves above leaves below as well, but not the other way round. Where rows are needed
        the labels stay as they are.
        """
        along = [f for f in factors if axis in f.axes]
        if len(along) != 1 or along[0].axes != (axis,) or along[0].level:
            return factors
        above, place = np.unique(along[0].labels, return_inverse=True)
        own = self.fresh(len(above))
        own[above == FIXED] = FIXED
        self.below.append((above, own))
        forked = Factor((axis,), own[place])
        return tuple(forked if f is along[0] else f for f in factors)

    def collapse(self, factor: Factor, keep: Sequence[int]) -> Factor:
        """Unite labels along all axes but `keep`: rows (or columns) leave as wholes."""
        keep = [a for a in factor.axes if a in keep]
        order = [factor.axes.index(a) for a in keep]
        rest = [p for p in range(len(factor.axes)) if p not in order]
        sizes = [factor.labels.shape[p] for p in order]
        merged = self.fresh(*sizes)
        table = factor.labels.transpose(order + rest).reshape(*sizes, -1)
        rows = factor.axes[-1] not in keep  # what stands for a row has the row's number
        self.unite(merged[..., None], table, link=rows and factor.level == 0)
        return Factor(tuple(keep), merged, factor.level)

    def release(
        self,
        factors: Iterable[Factor],
        axes: Collection[int],
        reason: str,
        *,
        beside: Factors = (),
    ) -> Factors:
        """Keep what does not depend on some axes that the operator needs whole.

        A factor over those axes alone is frozen. One over more axes keeps its whole rows over the
        other axes: they are the row factor of the value if there is one, else they are united.

        Args:
            factors: the factors.
            axes: the axes that are needed whole.
            reason: why.
            beside: other factors of the same value.
        """
        factors = tuple(factors)
        kept: list[Factor] = []
        for factor in factors:
            rest = tuple(a for a in factor.axes if a not in axes)
            if len(rest) == len(factor.axes):
                kept.append(factor)
            elif not rest:
                self.freeze([factor], reason)
            else:
                if factor.axes[-1] in axes:  # else columns leave, and those are single elements
                    self.structure(factor, rest)
                if any(other.axes == rest for other in (*factors, *beside)):
                    self.freeze([factor], reason)
                else:
                    kept.append(self.collapse(factor, rest))
        return tuple(kept)

    def tidy(
        self, axes: Sequence[int], labels: LabelArray, level: int, reason: str
    ) -> Factor | None:
        """Drop axes along which labels do not vary; freeze labels of a single index."""
        factor = tidy(axes, labels, level)
        if factor is None:
            self.freeze([Factor((), labels, level)], reason)
        return factor

    def unique(self, factors: Iterable[Factor]) -> Factors:
        """Keep one factor per level and axes; a second one (merged axes) is frozen."""
        found: dict[tuple[int, frozenset[int]], Factor] = {}
        for factor in factors:
            first = found.setdefault((factor.level, frozenset(factor.axes)), factor)
            if first is not factor:
                self.freeze([factor], "two independent axes are merged")
        return tuple(found.values())
