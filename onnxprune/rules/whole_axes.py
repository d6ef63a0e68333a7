"""Operators that need some axes whole and work on each position of the others by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxprune.core.context import Operand
from onnxprune.core.registry import rule

if TYPE_CHECKING:
    from collections.abc import Collection

    from onnxprune.core.context import LabelContext
    from onnxprune.core.graph import Node


def pass_others(ctx: LabelContext, node: Node, axes: Collection[int], reason: str) -> None:
    """Let the labels of the first input pass to all outputs, except along some axes."""
    factors = ctx.release(ctx.factors(node.inputs[0]), axes, reason)
    for key in node.outputs:
        ctx.set(key, factors)


def _rank(ctx: LabelContext, node: Node) -> int:
    return max(len(ctx.shape(node.inputs[0]) or ()), 1)


@rule("TopK")
def top_k(ctx: LabelContext, node: Node) -> None:
    """All axes pass but the ranked one."""
    rank = _rank(ctx, node)
    axis = int(node.attribute("axis", -1)) % rank
    pass_others(ctx, node, (axis,), "ranked over this axis")


@rule("CumSum", "CumProd")
def cumulative(ctx: LabelContext, node: Node) -> None:
    """All axes pass but the summed one."""
    axis = ctx.known(node.inputs[1])
    if axis is None:
        ctx.opaque(node, "the axis is computed")
        return
    axes = (int(axis.ravel()[0]) % _rank(ctx, node),)
    pass_others(ctx, node, axes, f"{node.op} over this axis")


@rule("Trilu")
def triangle(ctx: LabelContext, node: Node) -> None:
    """Batch axes pass; rows and columns stay, since positions decide what becomes zero."""
    rank = _rank(ctx, node)
    pass_others(ctx, node, (rank - 2, rank - 1), "a triangle needs rows and columns whole")


@rule("Det")
def determinant(ctx: LabelContext, node: Node) -> None:
    """Batch axes pass; the matrix stays."""
    rank = _rank(ctx, node)
    pass_others(ctx, node, (rank - 2, rank - 1), "a determinant needs the matrix whole")


@rule("ReverseSequence")
def reverse_sequence(ctx: LabelContext, node: Node) -> None:
    """All axes pass but time."""
    shape = ctx.shape(node.inputs[0]) or ()
    time, batch = int(node.attribute("time_axis", 0)), int(node.attribute("batch_axis", 1))
    kept = ctx.release(ctx.factors(node.inputs[0]), (time,), "reversed along this axis")
    sizes = {a: s for a, s in enumerate(shape) if a != time}
    lengths = ctx.shift(ctx.factors(node.inputs[1]), {0: batch})
    ctx.set(
        node.outputs[0],
        ctx.align(
            [
                Operand(kept, sizes, node.inputs[0]),
                Operand(lengths, {batch: shape[batch]}, node.inputs[1]),
            ]
        ),
    )


@rule("OneHot")
def one_hot(ctx: LabelContext, node: Node) -> None:
    """Axes of the indices pass; the new axis stays, since indices count along it."""
    rank = len(ctx.shape(node.outputs[0]) or ())
    axis = int(node.attribute("axis", -1)) % rank
    factors = ctx.factors(node.inputs[0])
    ctx.set(node.outputs[0], [f.rename(a + (a >= axis) for a in f.axes) for f in factors])


@rule("DFT")
def fourier(ctx: LabelContext, node: Node) -> None:
    """All axes pass but the transformed one, and the pair of real and imaginary part."""
    rank = _rank(ctx, node)
    axis = np.asarray(node.attribute("axis", 1))
    if node.since >= 20:
        known = ctx.known(node.inputs[2]) if node.input(2) else np.asarray(-2)
        if known is None:
            ctx.opaque(node, "the axis is computed")
            return
        axis = known
    axes = (int(axis.ravel()[0]) % rank, rank - 1)
    pass_others(ctx, node, axes, "transformed over this axis")


@rule("STFT")
def short_time_fourier(ctx: LabelContext, node: Node) -> None:
    """The batch passes."""
    rank = _rank(ctx, node)
    pass_others(ctx, node, range(1, rank), "transformed over this axis")
