"""Operators that work position by position: their operands' labels meet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxprune.core.context import Operand
from onnxprune.core.registry import rule

if TYPE_CHECKING:
    from onnxprune.core.context import LabelContext
    from onnxprune.core.graph import Node
    from onnxprune.core.labels import Factors

UNARY = (
    "Abs Acos Acosh Asin Asinh Atan Atanh BitCast BitwiseNot Cast Ceil Celu Cos Cosh Elu Erf Exp "
    "Floor Gelu HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu Log Mish Neg Not Reciprocal "
    "Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Swish Tan Tanh "
    "ThresholdedRelu"
).split()
NARY = (
    "Add And BitShift BitwiseAnd BitwiseOr BitwiseXor Clip Div Equal Greater GreaterOrEqual Less "
    "LessOrEqual Max Mean Min Mod Mul Or PRelu Pow Sub Sum SwiGLU Where Xor"
).split()


@rule(*UNARY)
def unary(ctx: LabelContext, node: Node) -> None:
    """All axes pass."""
    ctx.set(node.outputs[0], ctx.factors(node.inputs[0]))


@rule("CastLike")
def cast_like(ctx: LabelContext, node: Node) -> None:
    """All axes pass; the second operand only gives the type."""
    ctx.set(node.outputs[0], ctx.factors(node.inputs[0]))


@rule("Dropout")
def dropout(ctx: LabelContext, node: Node) -> None:
    """All axes pass, except in training mode, which drops elements at random."""
    training = ctx.known(node.inputs[2]) if node.input(2) else np.array(False)  # noqa: FBT003
    if training is None or training.any():
        ctx.opaque(node, "drops elements at random")
        return
    for key in node.outputs:
        ctx.set(key, ctx.factors(node.inputs[0]))


def operand_to_right(ctx: LabelContext, key: str, rank: int) -> Operand:
    """See a value in the axes of a result of `rank` axes, aligned to the right."""
    shape = ctx.shape(key) or ()
    offset = rank - len(shape)
    factors = tuple(f.rename(a + offset for a in f.axes) for f in ctx.factors(key))
    return Operand(factors, {a + offset: s for a, s in enumerate(shape)}, key)


def meet(ctx: LabelContext, keys: list[str], rank: int) -> Factors:
    """Align values as NumPy broadcasting does."""
    return ctx.align([operand_to_right(ctx, key, rank) for key in keys])


@rule(*NARY)
def nary(ctx: LabelContext, node: Node) -> None:
    """All axes pass; indices that meet leave together, axes of size one broadcast."""
    shape = ctx.shape(node.outputs[0]) or ()
    if node.since < 7 and node.attribute("axis") is not None:
        ctx.opaque(node, "broadcasting along a given axis (opset 6 and older)")
        return
    ctx.set(node.outputs[0], meet(ctx, [k for k in node.inputs if k], len(shape)))
