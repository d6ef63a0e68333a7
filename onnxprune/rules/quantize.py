"""Quantisation: scales and zero points follow their axis, blocks lose equally many elements."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxprune.core.context import Operand
from onnxprune.core.cuts import Change
from onnxprune.core.registry import rule, update

if TYPE_CHECKING:
    from onnxprune.core.context import LabelContext
    from onnxprune.core.cuts import Cuts
    from onnxprune.core.graph import Node


@rule("QuantizeLinear", "DequantizeLinear")
def linear(ctx: LabelContext, node: Node) -> None:
    """All axes pass with their scales and zero points; blocks shrink evenly or leave whole."""
    shape = ctx.shape(node.inputs[0]) or ()
    if node.attribute("block_size", 0):
        _blocked(ctx, node, shape)
        return
    axis = int(node.attribute("axis", 1)) % max(len(shape), 1)
    operands = [Operand(ctx.factors(node.inputs[0]), dict(enumerate(shape)), node.inputs[0])]
    for key in node.inputs[1:]:
        rank = len(ctx.shape(key) or ()) if key else 0
        if rank == 1 and ctx.shape(key) != (1,):
            vector = tuple(f.rename((axis,)) for f in ctx.factors(key))
            operands.append(Operand(vector, {axis: shape[axis]}, key))
        elif rank > 1:
            ctx.opaque(node, "scales of several axes")
            return
    ctx.set(node.outputs[0], ctx.align(operands))


def _blocked(ctx: LabelContext, node: Node, shape: tuple[int, ...]) -> None:
    """See the axis as [blocks elements]: a scale serves the elements of one block."""
    axis = int(node.attribute("axis", 1)) % len(shape)
    block = int(node.attribute("block_size"))
    factors = ctx.factors(node.inputs[0])
    scaled = [k for k in node.inputs[1:] if k]
    if shape[axis] % block:
        factors = ctx.release(factors, (axis,), "the last block is shorter")
        scales = [ctx.release(ctx.factors(k), (axis,), "the last block is shorter") for k in scaled]
        sizes = {a: s for a, s in enumerate(shape) if a != axis}
        parts = [Operand(f, sizes, k) for f, k in zip(scales, scaled, strict=True)]
        ctx.set(node.outputs[0], ctx.align([Operand(factors, sizes, node.inputs[0]), *parts]))
        return
    view = (*shape[:axis], shape[axis] // block, block, *shape[axis + 1 :])
    names = {a: a + (a > axis) for a in range(len(shape))}
    operands = [Operand(ctx.reshape(factors, shape, view), dict(enumerate(view)), node.inputs[0])]
    for key in scaled:
        sizes = {names[a]: s for a, s in enumerate(ctx.shape(key) or ())}
        operands.append(Operand(ctx.shift(ctx.factors(key), names), sizes, key))
    ctx.set(node.outputs[0], ctx.reshape(ctx.align(operands), view, shape))


@update("QuantizeLinear", "DequantizeLinear", since=21)
def block_size(cuts: Cuts, node: Node) -> Change:
    """Blocks that lost elements are smaller."""
    block = int(node.attribute("block_size", 0))
    if not block:
        return Change()
    shape = cuts.shape(node.inputs[0])
    axis = int(node.attribute("axis", 1)) % len(shape)
    if cuts.old_shape(node.inputs[0])[axis] % block:
        return Change()
    return Change(attributes={"block_size": shape[axis] // cuts.size(node.inputs[1], axis)})


@rule("DynamicQuantizeLinear")
def dynamic(ctx: LabelContext, node: Node) -> None:
    """All axes pass: the measured range holds zero, so what is silenced does not change it."""
    # per_group: nothing is summed here, what is silenced goes on to who reads it
    ctx.consumes(node, 0, range(len(ctx.shape(node.inputs[0]) or ())), per_group=1)
    ctx.set(node.outputs[0], ctx.factors(node.inputs[0]))
