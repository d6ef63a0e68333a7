"""Activations, with what is added in front of them: positions pass as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto

from onnxprune.rules.api import Operand, meet, rule, shapes, triangle, unary
from onnxprune_contrib_ops.domain import MICROSOFT, as_first, element_type, known

if TYPE_CHECKING:
    from onnxprune.rules.api import Inferred, LabelContext, Node, Shapes

BIASED = ("BiasAdd", "BiasGelu", "FastGelu", "GatedAdd")
PLAIN = ("Gelu", "QuickGelu", "ScaledSiLU")

rule(*PLAIN, domain=MICROSOFT)(unary)
rule("Trilu", domain=MICROSOFT)(triangle)
shapes(*BIASED, *PLAIN, "Trilu", domain=MICROSOFT)(as_first)


@rule(*BIASED, domain=MICROSOFT)
def biased(ctx: LabelContext, node: Node) -> None:
    """All axes pass; what is added leaves with what it is added to."""
    rank = len(ctx.shape(node.outputs[0]) or ())
    ctx.set(node.outputs[0], meet(ctx, [k for k in node.inputs if k], rank))


@rule("BiasDropout", domain=MICROSOFT)
def bias_dropout(ctx: LabelContext, node: Node) -> None:
    """All axes pass with the bias and the residual, except in training mode."""
    training = ctx.known(node.inputs[4]) if node.input(4) else np.array(False)  # noqa: FBT003
    if training is None or training.any():
        ctx.opaque(node, "drops elements at random")
        return
    rank = len(ctx.shape(node.outputs[0]) or ())
    factors = meet(ctx, [k for k in node.inputs[:3] if k], rank)
    for key in node.outputs:
        ctx.set(key, factors)


@shapes("BiasDropout", domain=MICROSOFT)
def bias_dropout_shape(found: Shapes, node: Node) -> Inferred:
    """Return the shape of the data, for the mask as well."""
    first = as_first(found, node)[0]
    return [first, (TensorProto.BOOL, known(found, node.inputs[0]))]


@rule("BiasSplitGelu", domain=MICROSOFT)
def bias_split_gelu(ctx: LabelContext, node: Node) -> None:
    """All axes pass; a channel of the first half leaves with its gate in the second."""
    shape = ctx.shape(node.inputs[0]) or ()
    axis, half = len(shape) - 1, shape[-1] // 2
    both = meet(ctx, list(node.inputs[:2]), len(shape))
    sizes = dict(enumerate((*shape[:-1], half)))
    halves = [ctx.take(both, axis, np.arange(s, s + half)) for s in (0, half)]
    ctx.set(node.outputs[0], ctx.align([Operand(h, sizes, node.inputs[0]) for h in halves]))


@shapes("BiasSplitGelu", domain=MICROSOFT)
def bias_split_gelu_shape(found: Shapes, node: Node) -> Inferred:
    """Half of the channels come out."""
    shape = known(found, node.inputs[0])
    return [(element_type(found, node.inputs[0]), (*shape[:-1], shape[-1] // 2))]
