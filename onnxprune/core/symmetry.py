"""Which channels of a network may change places: permuting them changes nothing but their order.

A *column* is what is one channel as long as consumers do not choose for themselves: label sets that
Selects relate. Two columns are interchangeable if they stand in the same axes of the same values
and parameters, equally often. Where one stands in an axis several times (the pixels of a flattened
channel), the operators around must keep the order inside a channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.core.graph import INTERNAL, SELECT
from onnxprune.core.labels import UnionFind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from onnxprune.core.dependencies import Dependencies
    from onnxprune.core.labels import LabelArray

_IN_ORDER = frozenset(
    (
        "Abs Add AveragePool BatchNormalization Cast Ceil Clip Conv ConvTranspose Div Dropout Elu "
        "Erf Exp Flatten Floor Gelu Gemm GlobalAveragePool GlobalMaxPool HardSigmoid HardSwish "
        "Identity InstanceNormalization LeakyRelu Log MatMul Max MaxPool Min Mish Mul Neg PRelu "
        "Pow Reciprocal Relu Reshape Round Selu Sigmoid Sign Softplus Softsign Sqrt Squeeze Sub "
        "Sum Swish Tanh ThresholdedRelu Transpose Unsqueeze"
    ).split()
)
"""Operators that keep the order of what repeats along an axis."""


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """Columns that may change places among one another, in the order of the original.

    Attributes:
        columns: label sets of each column [columns, sets]; those at the same place of two rows
            stand in the same axes.
    """

    columns: LabelArray

    def holds(self, order: Sequence[int]) -> Iterator[tuple[LabelArray, LabelArray]]:
        """Yield places and what stands there when column `order[p]` comes to place p."""
        moved = self.columns[np.asarray(order, np.int64)]
        yield from zip(self.columns.T, moved.T, strict=True)


def find_streams(deps: Dependencies) -> list[Stream]:
    """Return the interchangeable columns that more than one consumer reads."""
    hierarchy = deps.hierarchy
    if not hierarchy:
        return []
    links = UnionFind()
    links.fresh(len(deps.roots))
    links.unite(hierarchy.above, hierarchy.below)
    signature, first, rigid = _signatures(deps)
    involved = np.zeros(len(deps.roots), bool)
    involved[hierarchy.above] = involved[hierarchy.below] = True
    sets = np.flatnonzero(involved)
    column = links.find(sets)
    loose = np.ones(len(deps.roots), bool)
    loose[column[rigid[sets]]] = False
    keep = loose[column]
    sets, column = sets[keep], column[keep]
    order = np.lexsort((signature[sets], column))
    sets, column = sets[order], column[order]
    starts = np.flatnonzero(np.diff(column, prepend=-1))
    buckets: dict[bytes, list[LabelArray]] = {}
    for members in np.split(sets, starts[1:]) if len(sets) else []:
        kinds = signature[members]
        if (np.diff(kinds) != 0).all():  # kinds are sorted: no two alike
            buckets.setdefault(kinds.tobytes(), []).append(members)
    streams = []
    for columns in buckets.values():
        if len(columns) > 1:
            columns.sort(key=lambda members: int(first[members].min()))
            streams.append(Stream(np.array(columns)))
    return streams


def _signatures(
    deps: Dependencies,
) -> tuple[NDArray[np.uint64], LabelArray, NDArray[np.bool_]]:
    """Return for each label set a number for where it stands, its first place, if it is rigid."""
    count = len(deps.roots)
    signature = np.zeros(count, np.uint64)
    first = np.full(count, np.iinfo(np.int64).max)
    rigid = np.zeros(count, bool)
    rigid[[0, *deps.frozen]] = True
    for labels, _ in deps.ctx.approximated:
        rigid[deps.roots[labels]] = True
    rng = np.random.default_rng(0)
    seen: dict[int, LabelArray] = {}
    offset = 0
    tables = [*deps.ctx.factors_of.values(), *((f,) for f in deps.ctx.balances.values())]
    for factors in tables:
        rows = any(f.level for f in factors)
        for factor in factors:
            if rows:
                rigid[deps.roots[factor.labels]] = True
            if id(factor.labels) in seen:
                continue
            seen[id(factor.labels)] = factor.labels
            roots = deps.roots[factor.labels].reshape(-1, factor.labels.shape[-1])
            noise = rng.integers(0, 1 << 63, len(roots), np.uint64)
            np.add.at(signature, roots, np.broadcast_to(noise[:, None], roots.shape))
            flat = roots.ravel()
            np.minimum.at(first, flat, offset + np.arange(flat.size))
            offset += flat.size
    for key, factors in deps.ctx.sources.items():
        for factor in factors:
            if len(factor.axes) > 1 and key in deps.ctx.parameters:
                rigid[deps.roots[factor.labels]] = True
    _mark_repeats(deps, rigid)
    return signature, first, rigid


def _mark_repeats(deps: Dependencies, rigid: NDArray[np.bool_]) -> None:
    """Mark sets that repeat in an axis where an operator might change the order of repeats."""
    for node in deps.graph.all_nodes():
        if (not node.domain and node.op in _IN_ORDER) or (node.op, node.domain) == (
            SELECT,
            INTERNAL,
        ):
            continue
        for key in (*node.inputs, *node.outputs):
            for factor in deps.ctx.factors_of.get(key, ()):
                roots = deps.roots[factor.labels].reshape(-1, factor.labels.shape[-1])
                for row in roots:
                    values, counts = np.unique(row, return_counts=True)
                    rigid[values[counts > 1]] = True
