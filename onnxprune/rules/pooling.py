"""Pooling: channels pass, space is needed whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxprune.core.context import Operand
from onnxprune.core.registry import rule

if TYPE_CHECKING:
    from onnxprune.core.context import LabelContext
    from onnxprune.core.graph import Node

POOLED = "pooled over this axis"


@rule("AveragePool", "MaxPool", "LpPool", "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
def pool(ctx: LabelContext, node: Node) -> None:
    """Batch and channels pass, unless flat indices are returned; space stays."""
    shape = ctx.shape(node.inputs[0]) or ()
    if node.output(1):
        ctx.opaque(node, "MaxPool's flat indices depend on the number of channels")
        return
    factors = ctx.factors(node.inputs[0])
    ctx.set(node.outputs[0], ctx.release(factors, range(2, len(shape)), POOLED))


@rule("MaxRoiPool", "RoiAlign")
def pool_regions(ctx: LabelContext, node: Node) -> None:
    """Channels pass, and regions, which are the new batch."""
    shape = ctx.shape(node.outputs[0]) or ()
    kept = ctx.release(ctx.factors(node.inputs[0]), (0, 2, 3), POOLED)
    operands = [Operand(kept, {1: shape[1]}, node.inputs[0])]
    for key in node.inputs[1:]:
        regions = ctx.release(ctx.factors(key), (1,), "coordinates of one region")
        operands.append(Operand(regions, {0: shape[0]}, key))
    ctx.set(node.outputs[0], ctx.align(operands))


@rule("Col2Im")
def column_to_image(ctx: LabelContext, node: Node) -> None:
    """Whole channels pass, each with all pixels of its block."""
    block = ctx.known(node.inputs[2])
    shape = ctx.shape(node.inputs[0]) or ()
    if block is None:
        ctx.opaque(node, "the size of blocks is computed")
        return
    size = int(np.prod(block))
    columns = ctx.release(ctx.factors(node.inputs[0]), (2,), "blocks overlap in the image")
    view = (shape[0], shape[1] // size, size)
    pixels = ctx.reshape(columns, shape[:2], view)
    ctx.set(node.outputs[0], ctx.release(pixels, (2,), "pixels of one channel stay together"))
