"""Operators that only regroup axes: labels do what data does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxprune.core.cuts import Change
from onnxprune.core.registry import rule, update

if TYPE_CHECKING:
    from onnxprune.core.context import LabelContext
    from onnxprune.core.cuts import Cuts
    from onnxprune.core.graph import Node


@rule("Reshape", "Flatten", "Squeeze", "Unsqueeze")
def regroup(ctx: LabelContext, node: Node) -> None:
    """All axes pass; parts of an axis that is split shrink evenly, or leave as whole rows."""
    before, after = ctx.shape(node.inputs[0]), ctx.shape(node.outputs[0])
    if before is None or after is None:
        ctx.opaque(node, "shape unknown")
        return
    ctx.set(node.outputs[0], ctx.reshape(ctx.factors(node.inputs[0]), before, after))


@update("Reshape")
def reshape_target(cuts: Cuts, node: Node) -> Change:
    """Sizes written into the target follow the cut; 0 and -1 stay where they still work."""
    new, old = cuts.shape(node.outputs[0]), cuts.old_shape(node.outputs[0])
    known = cuts.known(node.inputs[1]) if node.input(1) else node.attribute("shape")
    if known is None:
        return Change()
    source = cuts.shape(node.inputs[0])
    target = [int(t) for t in known]
    copies = not node.attribute("allowzero", 0)
    wanted = []
    for axis, (value, size) in enumerate(zip(target, new, strict=True)):
        stays = value == -1 or (value == 0 and copies and source[axis] == size)
        stays = stays or (value > 0 and size == old[axis])
        wanted.append(value if stays else size)
    if not node.input(1):
        return Change(attributes={"shape": wanted})
    return Change(operands={1: wanted})


@update("Squeeze")
def squeeze_axes(cuts: Cuts, node: Node) -> Change:
    """Axes left open are all of size one; an axis that was cut to one must stay."""
    if node.input(1) or node.attribute("axes"):
        return Change()
    axes = [a for a, size in enumerate(cuts.old_shape(node.inputs[0])) if size == 1]
    if node.since < 13:
        return Change(attributes={"axes": axes})
    return Change(operands={1: axes})


@rule("Transpose")
def transpose(ctx: LabelContext, node: Node) -> None:
    """All axes pass."""
    rank = len(ctx.shape(node.inputs[0]) or ())
    order = node.attribute("perm") or list(range(rank))[::-1]
    ctx.set(node.outputs[0], ctx.permute(ctx.factors(node.inputs[0]), list(order)))


@rule("DepthToSpace", "SpaceToDepth")
def depth_space(ctx: LabelContext, node: Node) -> None:
    """Whole channels pass, each with its pixels; space stays."""
    n, c, h, w = ctx.shape(node.inputs[0]) or (0, 0, 0, 0)
    out = ctx.shape(node.outputs[0]) or ()
    block = int(node.attribute("blocksize"))
    if node.op == "SpaceToDepth":
        view = (n, c, h // block, block, w // block, block)
        order = [0, 3, 5, 1, 2, 4] if node.attribute("mode", "DCR") == "DCR" else [0, 1, 3, 5, 2, 4]
    elif node.attribute("mode", "DCR") == "DCR":
        view, order = (n, block, block, c // block**2, h, w), [0, 3, 4, 1, 5, 2]
    else:
        view, order = (n, c // block**2, block, block, h, w), [0, 1, 4, 2, 5, 3]
    channels = ctx.release(ctx.factors(node.inputs[0]), (2, 3), "pixels move between channels")
    moved = ctx.permute(ctx.reshape(channels, (n, c, h, w), view), order)
    if node.op == "DepthToSpace":  # a channel of the result needs all pixels of its block
        moved = ctx.release(moved, (2, 3, 4, 5), "pixels of one channel stay together")
    shape = [view[o] for o in order]
    ctx.set(node.outputs[0], ctx.reshape(moved, shape, out))
