"""Quantisation: scales and zero points follow their axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxprune.core.context import Operand
from onnxprune.core.registry import rule

if TYPE_CHECKING:
    from onnxprune.core.context import LabelContext
    from onnxprune.core.graph import Node


@rule("QuantizeLinear", "DequantizeLinear")
def linear(ctx: LabelContext, node: Node) -> None:
    """Scale and shift, per tensor or per index of one axis."""
    shape = ctx.shape(node.inputs[0]) or ()
    if node.attribute("block_size", 0):
        ctx.opaque(node, "blocked quantisation")
        return
    axis = int(node.attribute("axis", 1)) % max(len(shape), 1)
    operands = [Operand(ctx.factors(node.inputs[0]), dict(enumerate(shape)), node.inputs[0])]
    for key in node.inputs[1:]:
        rank = len(ctx.shape(key) or ()) if key else 0
        if rank == 1:
            vector = tuple(f.rename((axis,)) for f in ctx.factors(key))
            operands.append(Operand(vector, {axis: shape[axis]}, key))
        elif rank > 1:
            ctx.opaque(node, "scales of several axes")
            return
    ctx.set(node.outputs[0], ctx.align(operands))


@rule("DynamicQuantizeLinear")
def dynamic(ctx: LabelContext, node: Node) -> None:
    """The range is measured over all elements, those that leave included."""
    factors = ctx.factors(node.inputs[0])
    for factor in factors:
        ctx.approximate([factor], factor.axes, "the range is measured over this axis")
    ctx.set(node.outputs[0], factors)
