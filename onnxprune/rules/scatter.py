"""Operators that write some data into other data: axes that are not indexed pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxprune.core.context import Operand
from onnxprune.core.registry import rule

if TYPE_CHECKING:
    from onnxprune.core.context import LabelContext
    from onnxprune.core.graph import Node

WRITTEN = "written at computed places"


@rule("ScatterElements", "Scatter")
def scatter_elements(ctx: LabelContext, node: Node) -> None:
    """Axes but the written one pass where all three operands have the same size."""
    shapes = [ctx.shape(k) or () for k in node.inputs]
    axis = int(node.attribute("axis", 0)) % len(shapes[0])
    needed = [
        a
        for a in range(len(shapes[0]))
        if a == axis or any(s[a] != shapes[0][a] for s in shapes[1:])
    ]
    operands = []
    for key, shape in zip(node.inputs, shapes, strict=True):
        factors = ctx.release(ctx.factors(key), needed, WRITTEN)
        sizes = {a: s for a, s in enumerate(shape) if a not in needed}
        operands.append(Operand(factors, sizes, key))
    ctx.set(node.outputs[0], ctx.align(operands))


@rule("ScatterND")
def scatter_nd(ctx: LabelContext, node: Node) -> None:
    """Axes of the data that are not indexed pass."""
    data, table, _ = (ctx.shape(k) or () for k in node.inputs)
    width = table[-1]
    kept = ctx.release(ctx.factors(node.inputs[0]), range(width), WRITTEN)
    ctx.freeze(ctx.factors(node.inputs[1]), "used as indices", value=node.inputs[1])
    outer = len(table) - 1
    updates = ctx.release(ctx.factors(node.inputs[2]), range(outer), WRITTEN)
    names = {outer + a: width + a for a in range(len(data) - width)}
    sizes = {a: s for a, s in enumerate(data) if a >= width}
    ctx.set(
        node.outputs[0],
        ctx.align(
            [
                Operand(kept, sizes, node.inputs[0]),
                Operand(ctx.shift(updates, names), sizes, node.inputs[2]),
            ]
        ),
    )


@rule("TensorScatter")
def tensor_scatter(ctx: LabelContext, node: Node) -> None:
    """All axes pass but the sequence."""
    shape = ctx.shape(node.inputs[0]) or ()
    axis = int(node.attribute("axis", -2)) % len(shape)
    sizes = {a: s for a, s in enumerate(shape) if a != axis}
    operands = [
        Operand(ctx.release(ctx.factors(k), (axis,), WRITTEN), sizes, k) for k in node.inputs[:2]
    ]
    if node.input(2):
        operands.append(Operand(ctx.factors(node.inputs[2]), {0: shape[0]}, node.inputs[2]))
    ctx.set(node.outputs[0], ctx.align(operands))
