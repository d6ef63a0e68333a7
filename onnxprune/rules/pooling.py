"""Pooling: channels pass, space is needed whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxprune.core.registry import rule

if TYPE_CHECKING:
    from onnxprune.core.context import LabelContext
    from onnxprune.core.graph import Node


@rule(
    "AveragePool", "MaxPool", "LpPool", "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"
)
def pool(ctx: LabelContext, node: Node) -> None:
    """Pool over space, channel by channel."""
    shape = ctx.shape(node.inputs[0]) or ()
    if node.output(1):
        ctx.opaque(node, "MaxPool's flat indices depend on the number of channels")
        return
    factors = ctx.factors(node.inputs[0])
    ctx.set(node.outputs[0], ctx.release(factors, range(2, len(shape)), "pooled over this axis"))
