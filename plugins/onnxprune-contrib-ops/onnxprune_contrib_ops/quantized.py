"""Operators on quantised data: positions pass, scales are one for all or follow their axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxprune.rules.api import infer_like, linear, meet, normalised, rule, shapes, unary
from onnxprune_contrib_ops.domain import MICROSOFT, as_first, element_type, known

if TYPE_CHECKING:
    from onnxprune.rules.api import Inferred, LabelContext, Node, Shapes

MET = {"QLinearAdd": (0, 3), "QLinearMul": (0, 3), "QLinearWhere": (0, 1, 4)}
"""Positions of the operands that meet position by position."""

UNARY = ("QLinearLeakyRelu", "QLinearSigmoid")

rule(*UNARY, domain=MICROSOFT)(unary)
rule("QuantizeLinear", "DequantizeLinear", domain=MICROSOFT)(linear)
shapes(*UNARY, "QLinearSoftmax", domain=MICROSOFT)(as_first)


@rule(*MET, domain=MICROSOFT)
def met(ctx: LabelContext, node: Node) -> None:
    """All axes pass; indices that meet leave together."""
    rank = len(ctx.shape(node.outputs[0]) or ())
    ctx.set(node.outputs[0], meet(ctx, [node.inputs[p] for p in MET[node.op]], rank))


@shapes(*MET, domain=MICROSOFT)
def met_shape(found: Shapes, node: Node) -> Inferred:
    """As the plain operator broadcasts."""
    positions = MET[node.op]
    keys = [node.inputs[p] for p in positions]
    if len(keys) == 3:
        return infer_like(found, node, "Where", inputs=keys, attributes={})
    return infer_like(found, node, "Add", inputs=keys, attributes={})


@shapes("QuantizeLinear", "DequantizeLinear", domain=MICROSOFT)
def linear_shape(found: Shapes, node: Node) -> Inferred:
    """As the data, of the type of the zero point or of the scale."""
    typed = node.input(2) if node.op == "QuantizeLinear" else node.inputs[1]
    return [(element_type(found, typed), known(found, node.inputs[0]))]


@rule("QLinearConcat", domain=MICROSOFT)
def concat(ctx: LabelContext, node: Node) -> None:
    """All axes pass; parts of the joined axis by themselves, the others together."""
    out = ctx.shape(node.outputs[0]) or ()
    axis = int(node.attribute("axis")) % len(out)
    keys = node.inputs[2::3]
    parts = [(ctx.factors(k), (ctx.shape(k) or ())[axis]) for k in keys]
    ctx.set(node.outputs[0], ctx.concatenate(parts, axis, out, node.outputs[0]))


@shapes("QLinearConcat", domain=MICROSOFT)
def concat_shape(found: Shapes, node: Node) -> Inferred:
    """As Concat."""
    return infer_like(found, node, "Concat", inputs=node.inputs[2::3])


@rule("QLinearSoftmax", domain=MICROSOFT)
def softmax(ctx: LabelContext, node: Node) -> None:
    """Axes that are not normalised pass; normalised ones only approximately."""
    rank = len(ctx.shape(node.inputs[0]) or ())
    axis = int(node.attribute("axis", -1)) % rank
    axes = (axis,) if int(node.attribute("opset")) >= 13 else range(axis, rank)
    factors = ctx.factors(node.inputs[0])
    ctx.set(node.outputs[0], normalised(ctx, factors, axes, "QLinearSoftmax over this axis"))
