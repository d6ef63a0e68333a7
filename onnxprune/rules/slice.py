"""Slice: selecting ranges of indices along axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxprune.core.cuts import Change
from onnxprune.core.evaluate import slice_of
from onnxprune.core.labels import Factor
from onnxprune.core.registry import rule, update

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnxprune.core.context import LabelContext
    from onnxprune.core.cuts import Cuts
    from onnxprune.core.graph import Node
    from onnxprune.core.labels import Factors


def slice_operands(ctx: LabelContext | Cuts, node: Node) -> dict[int, slice] | None:
    """Return the slice of each axis, None when it is computed from data."""
    shape = ctx.old_shape(node.inputs[0])
    if shape is None:
        return None
    if node.since < 10:
        starts, ends = node.attribute("starts"), node.attribute("ends")
        axes, steps = node.attribute("axes"), None
    else:
        operands = [ctx.known(k) if k else None for k in node.inputs[1:5]]
        operands += [None] * (4 - len(operands))
        if operands[0] is None or operands[1] is None:
            return None
        for key, value in zip(node.inputs[3:5], operands[2:], strict=False):
            if key and value is None:
                return None
        starts, ends, axes, steps = (None if o is None else o.tolist() for o in operands)
    axes = list(range(len(starts))) if axes is None else [int(a) % len(shape) for a in axes]
    steps = steps or [1] * len(starts)
    return {
        a: slice_of(b, e, s, shape[a]) for a, b, e, s in zip(axes, starts, ends, steps, strict=True)
    }


@rule("Slice")
def slice_(ctx: LabelContext, node: Node) -> None:
    """All axes pass."""
    factors = ctx.factors(node.inputs[0])
    ranges = slice_operands(ctx, node)
    shape = ctx.shape(node.inputs[0]) or ()
    if ranges is None:
        axes = ctx.known(node.input(3)) if node.input(3) else None
        where = range(len(shape)) if axes is None else [int(a) % len(shape) for a in axes]
        ctx.set(node.outputs[0], ctx.release(factors, where, "the slice is computed"))
        return
    for axis, chosen in ranges.items():
        indices = np.arange(shape[axis])[chosen]
        step = chosen.step or 1
        if not any(axis in f.axes for f in factors) or (step == 1 and len(indices) == shape[axis]):
            continue
        if step != 1 and len(ranges) > 1:
            factors = ctx.release(factors, (axis,), "one of several axes, in strides")
        elif not len(indices):
            factors = ctx.release(factors, (axis,), "nothing is selected")
        else:
            factors = ctx.take(_rows_alike(ctx, factors, axis, chosen), axis, indices)
    ctx.set(node.outputs[0], factors)


def _rows_alike(ctx: LabelContext, factors: Factors, axis: int, chosen: slice) -> Factors:
    """Make sure that one start fits all rows: they lose equally many indices in front of it."""
    kept: list[Factor] = []
    for factor in factors:
        if len(factor.axes) > 1 and factor.axes[-1] == axis:
            if (chosen.step or 1) != 1:
                kept.append(ctx.collapse(factor, (axis,)))
                continue
            front = Factor(factor.axes, factor.labels[..., : chosen.start], factor.level)
            if front.labels.size:
                ctx.balances.setdefault(id(front.labels), front)
        kept.append(factor)
    return tuple(kept)


@update("Slice")
def slice_bounds(cuts: Cuts, node: Node) -> Change:
    """Bounds of a cut axis count what is left; other steps than one become a selection."""
    ranges = slice_operands(cuts, node)
    if ranges is None:
        return Change()
    cut = [a for a in ranges if cuts.is_cut(node.inputs[0], a)]
    if not cut:
        return Change()
    strided = [a for a in cut if (ranges[a].step or 1) != 1]
    if strided:
        axis = strided[0]
        if len(ranges) > 1:
            return Change(failure="a strided slice of several axes, one of them cut")
        old = cuts.old_shape(node.inputs[0])
        kept = cuts.keep(node.inputs[0], axis)
        return Change(gather=(axis, renumber(np.arange(old[axis])[ranges[axis]], kept)))
    starts: list[int | None] = []
    ends: list[int | None] = []
    for axis, chosen in ranges.items():
        before = cuts.count_before(node.inputs[0], axis, chosen.start) if axis in cut else None
        starts.append(before)
        ends.append(None if before is None else before + cuts.size(node.outputs[0], axis))
    if node.since < 10:
        olds = node.attribute("starts"), node.attribute("ends")
        merged = [_merged(old, new) for old, new in zip(olds, (starts, ends), strict=True)]
        return Change(attributes={"starts": merged[0], "ends": merged[1]})
    wanted: dict[int, Sequence[int] | np.ndarray] = {}
    for position, new in ((1, starts), (2, ends)):
        known = cuts.known(node.inputs[position])
        if known is not None:
            wanted[position] = _merged(known.tolist(), new)
    return Change(operands=wanted)


def _merged(old: list[int], new: list[int | None]) -> list[int]:
    return [o if n is None else n for o, n in zip(old, new, strict=True)]


def renumber(indices: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Drop indices that left and number the others anew."""
    position = np.cumsum(kept) - 1
    return np.asarray(position[indices[kept[indices]]])
