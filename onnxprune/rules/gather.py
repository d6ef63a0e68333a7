"""Gather and its relatives: selecting by tables of indices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxprune.core.context import Operand
from onnxprune.core.cuts import Change
from onnxprune.core.registry import rule, update
from onnxprune.rules.slice import renumber

if TYPE_CHECKING:
    from onnxprune.core.context import LabelContext
    from onnxprune.core.cuts import Cuts
    from onnxprune.core.graph import Node
    from onnxprune.core.labels import Factor


@rule("Gather")
def gather(ctx: LabelContext, node: Node) -> None:
    """All axes pass; the one that is selected from stays if the indices are computed."""
    data, indices = node.inputs[0], ctx.known(node.inputs[1])
    shape, picked = ctx.shape(data) or (), ctx.shape(node.inputs[1]) or ()
    axis = int(node.attribute("axis", 0)) % len(shape)
    factors = ctx.factors(data)
    names = {a: a if a < axis else a + len(picked) - 1 for a in range(len(shape)) if a != axis}
    if indices is None:
        factors = ctx.release(factors, (axis,), "selected by computed indices")
        places = {a: a + axis for a in range(len(picked))}
        chosen = ctx.shift(ctx.factors(node.inputs[1]), places)
        ctx.set(node.outputs[0], [*ctx.shift(factors, names), *chosen])
        return
    ctx.freeze(ctx.factors(node.inputs[1]), "used as indices", value=node.inputs[1])
    kept: list[Factor] = []
    positions = indices.astype(np.int64) % shape[axis]
    inner = tuple(range(axis, axis + len(picked)))
    for found in factors:
        factor = found
        if axis not in factor.axes:
            kept += ctx.shift([factor], names)
            continue
        if len(factor.axes) > 1 and factor.axes[-1] == axis:
            factor = ctx.collapse(factor, (axis,))  # one table of indices serves all rows
        place = factor.axes.index(axis)
        labels = factor.labels.take(positions, place)
        axes = [names.get(a, -1) for a in factor.axes]
        axes[place : place + 1] = inner
        result = ctx.tidy(axes, labels, factor.level, "a single index is selected")
        if result is not None:
            kept.append(result)
    ctx.set(node.outputs[0], kept)


@update("Gather")
def gather_indices(cuts: Cuts, node: Node) -> Change:
    """Constant indices along a cut axis are numbered anew."""
    shape = cuts.old_shape(node.inputs[0])
    axis = int(node.attribute("axis", 0)) % len(shape)
    indices = cuts.known(node.inputs[1])
    if indices is None or not cuts.is_cut(node.inputs[0], axis):
        return Change()
    if cuts.has_rows(node.inputs[0], axis):
        return Change(failure="selects along an axis whose rows lose different indices")
    positions = indices.astype(np.int64) % shape[axis]
    kept = cuts.keep(node.inputs[0], axis)
    if positions.ndim == 1:
        return Change(operands={1: renumber(positions, kept)})
    table = _close_up(positions, kept[positions])
    if table is None:
        return Change(failure="selects with a table of indices that would become ragged")
    return Change(operands={1: (np.cumsum(kept) - 1)[table]})


def _close_up(table: np.ndarray, keep: np.ndarray) -> np.ndarray | None:
    """Drop whole slices of a table, then let its rows close up; None when they become uneven."""
    for axis in range(table.ndim):
        others = tuple(a for a in range(table.ndim) if a != axis)
        some = np.flatnonzero(keep.any(axis=others))
        table, keep = table.take(some, axis), keep.take(some, axis)
    if keep.all():
        return table
    counts = keep.sum(-1)
    if (counts != counts.flat[0]).any():
        return None
    return np.asarray(table[keep].reshape(*table.shape[:-1], int(counts.flat[0])))


@rule("GatherElements")
def gather_elements(ctx: LabelContext, node: Node) -> None:
    """Axes but the selected one pass where data and indices have the same size."""
    data, table = ctx.shape(node.inputs[0]) or (), ctx.shape(node.inputs[1]) or ()
    axis = int(node.attribute("axis", 0)) % len(data)
    needed = [a for a in range(len(data)) if a == axis or data[a] != table[a]]
    factors = ctx.release(ctx.factors(node.inputs[0]), needed, "selected element by element")
    sizes = {a: s for a, s in enumerate(data) if a not in needed}
    indices = ctx.factors(node.inputs[1])
    whole = [a for a in needed if a != axis]
    indices = ctx.release(indices, whole, "only some of the data is selected")
    ctx.set(
        node.outputs[0],
        ctx.align(
            [
                Operand(factors, sizes, node.inputs[0]),
                Operand(indices, dict(enumerate(table)), node.inputs[1]),
            ]
        ),
    )


@rule("GatherND")
def gather_nd(ctx: LabelContext, node: Node) -> None:
    """Axes of the data that are not indexed pass; batch axes leave with those of the indices."""
    data, table = ctx.shape(node.inputs[0]) or (), ctx.shape(node.inputs[1]) or ()
    batch = int(node.attribute("batch_dims", 0))
    width = table[-1]
    indexed = range(batch, batch + width)
    factors = ctx.release(ctx.factors(node.inputs[0]), indexed, "selected by index tuples")
    offset = len(table) - 1 - batch - width
    names = {a: a if a < batch else a + offset for a in range(len(data)) if a not in indexed}
    last = (len(table) - 1,)
    indices = ctx.release(ctx.factors(node.inputs[1]), last, "used as indices")
    ctx.set(
        node.outputs[0],
        ctx.align(
            [
                Operand(
                    ctx.shift(factors, names),
                    {n: data[a] for a, n in names.items()},
                    node.inputs[0],
                ),
                Operand(indices, dict(enumerate(table[:-1])), node.inputs[1]),
            ]
        ),
    )
