"""Slice, Gather and Pad: selecting and adding indices along an axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxprune.core.cuts import Change
from onnxprune.core.evaluate import slice_of
from onnxprune.core.labels import Factor
from onnxprune.core.registry import rule, update

if TYPE_CHECKING:
    from onnxprune.core.context import LabelContext
    from onnxprune.core.cuts import Cuts
    from onnxprune.core.graph import Node


def slice_operands(ctx: LabelContext | Cuts, node: Node) -> dict[int, slice] | None:
    """Return the slice of each axis, None when it is computed from data."""
    shape = ctx.old_shape(node.inputs[0])
    if node.since < 10:  # noqa: PLR2004 - starts and ends are attributes
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
    """Select ranges of indices."""
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
        if any(axis in f.axes for f in factors) and len(indices) < shape[axis]:
            factors = ctx.take(factors, axis, indices)
        elif any(axis in f.axes for f in factors) and (chosen.step or 1) < 0:
            factors = ctx.take(factors, axis, indices)
    ctx.set(node.outputs[0], factors)


@update("Slice")
def slice_bounds(cuts: Cuts, node: Node) -> Change:
    """Bounds of a cut axis count what is left; other steps than one become a selection."""
    ranges = slice_operands(cuts, node)
    if ranges is None:
        return Change()
    old = cuts.old_shape(node.inputs[0])
    cut = [a for a in ranges if cuts.is_cut(node.inputs[0], a)]
    if not cut:
        return Change()
    strided = [a for a in cut if (ranges[a].step or 1) != 1]
    if strided:
        if len(ranges) > 1:
            return Change(failure="a strided slice of several axes, one of them cut")
        axis = strided[0]
        kept = cuts.keep(node.inputs[0], axis)
        return Change(gather=(axis, renumber(np.arange(old[axis])[ranges[axis]], kept)))
    starts, ends = [], []
    for axis, chosen in ranges.items():
        if axis in cut:
            before = cuts.count_before(node.inputs[0], axis, chosen.start)
            starts.append(before)
            ends.append(before + cuts.size(node.outputs[0], axis))
        else:
            starts.append(None)
            ends.append(None)
    if node.since < 10:  # noqa: PLR2004
        olds = node.attribute("starts"), node.attribute("ends")
        merged = [
            [o if n is None else n for o, n in zip(old_, new, strict=True)]
            for old_, new in zip(olds, (starts, ends), strict=True)
        ]
        return Change(attributes={"starts": merged[0], "ends": merged[1]})
    wanted = {}
    for position, new in ((1, starts), (2, ends)):
        known = cuts.known(node.inputs[position])
        if known is not None:
            values = known.tolist()
            wanted[position] = [v if n is None else n for v, n in zip(values, new, strict=True)]
    return Change(operands=wanted)


def renumber(indices: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Drop indices that left and number the others anew."""
    position = np.cumsum(kept) - 1
    flat = indices[kept[indices]]
    return position[flat]


@rule("Gather")
def gather(ctx: LabelContext, node: Node) -> None:
    """Select indices along one axis; with computed indices that axis stays."""
    data, indices = node.inputs[0], ctx.known(node.inputs[1])
    shape, picked = ctx.shape(data), ctx.shape(node.inputs[1])
    if shape is None or picked is None:
        ctx.opaque(node, "shape unknown")
        return
    axis = int(node.attribute("axis", 0)) % len(shape)
    ctx.freeze(ctx.factors(node.inputs[1]), "used as indices", value=node.inputs[1])
    factors = ctx.factors(data)
    names = {a: a if a < axis else a + len(picked) - 1 for a in range(len(shape)) if a != axis}
    if indices is None:
        factors = ctx.release(factors, (axis,), "selected by computed indices")
        ctx.set(node.outputs[0], ctx.shift(factors, names))
        return
    kept: list[Factor] = []
    positions = indices.astype(np.int64) % shape[axis]
    for factor in factors:
        if axis not in factor.axes:
            kept += ctx.shift([factor], names)
            continue
        place = factor.axes.index(axis)
        labels = factor.labels.take(positions, place)
        inner = tuple(range(axis, axis + len(picked)))
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
    positions = indices.astype(np.int64) % shape[axis]
    if cuts.has_rows(node.inputs[0], axis):
        return Change(failure="selects along an axis whose rows lose different indices")
    kept = cuts.keep(node.inputs[0], axis)
    if positions.ndim == 0:
        return Change(operands={1: np.cumsum(kept)[positions] - 1})
    if positions.ndim == 1:
        return Change(operands={1: renumber(positions, kept)})
    if kept[positions].all():
        return Change(operands={1: (np.cumsum(kept) - 1)[positions]})
    return Change(failure="selects with a table of indices along a cut axis")


@rule("Pad")
def pad(ctx: LabelContext, node: Node) -> None:
    """Constant padding adds indices that stay; other modes need the axis whole."""
    shape, out = ctx.shape(node.inputs[0]), ctx.shape(node.outputs[0])
    amounts = ctx.known(node.inputs[1]) if node.input(1) else node.attribute("pads")
    if shape is None or out is None or amounts is None:
        ctx.opaque(node, "the padding is computed")
        return
    rank = len(shape)
    axes: list[int] = list(range(rank))
    if node.input(3):
        given = ctx.known(node.inputs[3])
        if given is None:
            ctx.opaque(node, "the padded axes are computed")
            return
        axes = [int(a) % rank for a in given]
    values = [int(v) for v in amounts]
    padded = {
        a: (values[i], values[i + len(axes)])
        for i, a in enumerate(axes)
        if values[i] or values[i + len(axes)]
    }
    factors = ctx.factors(node.inputs[0])
    if node.attribute("mode", "constant") != "constant" or min(values, default=0) < 0:
        factors, padded = ctx.release(factors, padded, "padded along this axis"), {}
    kept = []
    for factor in factors:
        amount = [padded.get(a, (0, 0)) for a in factor.axes]
        kept.append(Factor(factor.axes, np.pad(factor.labels, amount), factor.level))
    ctx.set(node.outputs[0], kept)


@rule("Resize", "Upsample")
def resize(ctx: LabelContext, node: Node) -> None:
    """Axes whose size changes are resampled as wholes, the others pass."""
    before, after = ctx.shape(node.inputs[0]), ctx.shape(node.outputs[0])
    if before is None or after is None:
        ctx.opaque(node, "shape unknown")
        return
    if node.attribute("coordinate_transformation_mode") == "tf_crop_and_resize":
        ctx.opaque(node, "crops while resizing")
        return
    space = [
        a
        for a, (b, s) in enumerate(zip(before, after, strict=True))
        if b != s or (a > 1 and len(before) > 2)  # noqa: PLR2004
    ]
    ctx.set(
        node.outputs[0], ctx.release(ctx.factors(node.inputs[0]), space, "resampled over this axis")
    )


@update("Resize")
def resize_sizes(cuts: Cuts, node: Node) -> Change:
    """A size given for a cut axis follows the cut; scales are one there."""
    if not node.input(3):
        return Change()
    known = cuts.known(node.inputs[3])
    if known is None:
        return Change()
    new = cuts.shape(node.outputs[0])
    axes = node.attribute("axes") or range(len(new))
    return Change(operands={3: [new[a] for a in axes]})
