"""Resampling: axes whose size changes are needed whole, the others pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxprune.core.context import Operand
from onnxprune.core.cuts import Change
from onnxprune.core.registry import rule, update

if TYPE_CHECKING:
    from onnxprune.core.context import LabelContext
    from onnxprune.core.cuts import Cuts
    from onnxprune.core.graph import Node

RESAMPLED = "resampled over this axis"


@rule("Resize", "Upsample")
def resize(ctx: LabelContext, node: Node) -> None:
    """Axes at scale one pass; resampled ones stay."""
    factors = ctx.factors(node.inputs[0])
    if node.attribute("coordinate_transformation_mode") == "tf_crop_and_resize":
        ctx.opaque(node, "crops while resizing")
        return
    ctx.set(node.outputs[0], ctx.release(factors, _resampled(ctx, node), RESAMPLED))


def _resampled(ctx: LabelContext, node: Node) -> list[int]:
    """Return the axes that are not at scale one."""
    before, after = ctx.shape(node.inputs[0]) or (), ctx.shape(node.outputs[0]) or ()
    rank = len(before)
    axes = [int(a) % rank for a in node.attribute("axes", range(rank))]
    if node.attribute("keep_aspect_ratio_policy", "stretch") != "stretch":
        return axes
    scales = _scales(ctx, node)
    changed = []
    for number, axis in enumerate(axes):
        same = before[axis] == after[axis] and (
            scales is None or (number < len(scales) and scales[number] == 1.0)
        )
        if not same or (scales is None and ctx.shapes.is_dynamic(node.inputs[0], axis)):
            changed.append(axis)
    return changed


def _scales(ctx: LabelContext, node: Node) -> list[float] | None:
    """Return the scales of the axes; None when sizes are given, empty when they are computed."""
    if node.input(3):
        return None
    given = node.attribute("scales")
    if given is not None:
        return [float(s) for s in given]
    position = 2 if node.op == "Resize" and node.since > 10 else 1
    known = ctx.probed(node.input(position))
    return [] if known is None else [float(s) for s in known]


@update("Resize")
def resize_sizes(cuts: Cuts, node: Node) -> Change:
    """A size given for a cut axis follows the cut; scales are one there."""
    known = cuts.known(node.inputs[3]) if node.input(3) else None
    if known is None:
        return Change()
    new = cuts.shape(node.outputs[0])
    return Change(operands={3: [new[a] for a in node.attribute("axes", range(len(new)))]})


@rule("GridSample")
def grid_sample(ctx: LabelContext, node: Node) -> None:
    """Channels pass, and points of the grid, which are the new space."""
    data, grid = ctx.shape(node.inputs[0]) or (), ctx.shape(node.inputs[1]) or ()
    rank = len(data)
    kept = ctx.release(ctx.factors(node.inputs[0]), range(2, rank), RESAMPLED)
    places = ctx.release(ctx.factors(node.inputs[1]), (rank - 1,), "coordinates of one point")
    names = {0: 0} | {a: a + 1 for a in range(1, rank - 1)}
    operands = [
        Operand(kept, {0: data[0], 1: data[1]}, node.inputs[0]),
        Operand(ctx.shift(places, names), {n: grid[a] for a, n in names.items()}, node.inputs[1]),
    ]
    ctx.set(node.outputs[0], ctx.align(operands))
