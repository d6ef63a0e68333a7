"""Reductions: over a channel axis they are statistics, which removal changes.

Zeroing a channel where it is reduced, and dividing by the old number, gives what removal gives; but
zeroing the weights that consume the channel does not, and that is what exact means. So a channel
that is reduced leaves only approximately. What is reduced from weights alone is computed ahead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxprune.core.cuts import Change
from onnxprune.core.registry import rule, update

if TYPE_CHECKING:
    from onnxprune.core.context import LabelContext
    from onnxprune.core.cuts import Cuts
    from onnxprune.core.graph import Node

ZERO_IS_NEUTRAL = (
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceMean", "ReduceSum", "ReduceSumSquare"
)  # fmt: skip


def reduced_axes(ctx: LabelContext | Cuts, node: Node) -> list[int] | None:
    """Return the axes a reduction works on, None when they are computed."""
    rank = len(ctx.shape(node.inputs[0]) or ())
    axes = node.attribute("axes")
    if node.input(1):
        known = ctx.known(node.inputs[1])
        if known is None:
            return None
        axes = known.tolist()
    if not axes:
        return [] if node.attribute("noop_with_empty_axes", 0) else list(range(rank))
    return sorted({int(a) % rank for a in axes})


@rule(*ZERO_IS_NEUTRAL, "ReduceMax", "ReduceMin", "ReduceProd", "ReduceLogSumExp")
def reduce(ctx: LabelContext, node: Node) -> None:
    """Axes that are not reduced pass; over a reduced one, removal is approximate at best."""
    axes = reduced_axes(ctx, node)
    factors = ctx.factors(node.inputs[0])
    rank = len(ctx.shape(node.inputs[0]) or ())
    if axes is None:
        ctx.opaque(node, "the reduced axes are computed")
        return
    channels = [f for f in factors if set(f.axes) & set(axes)]
    if node.op in ZERO_IS_NEUTRAL or ctx.ahead:
        if channels:
            if not ctx.ahead:
                ctx.consumes(node, 0, tuple(axes))
            ctx.approximate(channels, axes, f"{node.op} over this axis")
        kept = [f for f in factors if not set(f.axes) & set(axes)]
        kept += ctx.release(
            [f for f in channels if not set(f.axes) <= set(axes)], axes, "reduced over this axis"
        )
    else:
        kept = list(ctx.release(factors, axes, f"{node.op} over this axis"))
    names = {a: i for i, a in enumerate(a for a in range(rank) if a not in axes)}
    if node.attribute("keepdims", 1):
        names = {a: a for a in range(rank)}
    ctx.set(node.outputs[0], ctx.shift(kept, names))


@update("ReduceMean")
def reduce_mean(cuts: Cuts, node: Node) -> Change:
    """A mean over fewer channels divides by the old number."""
    axes = reduced_axes(cuts, node) or []
    ratio = 1.0
    for axis in axes:
        ratio *= cuts.size(node.inputs[0], axis) / cuts.old_shape(node.inputs[0])[axis]
    return Change(scale_output=ratio)


@rule("ArgMax", "ArgMin")
def arg_reduce(ctx: LabelContext, node: Node) -> None:
    """All axes pass but the reduced one, along which positions are results."""
    rank = len(ctx.shape(node.inputs[0]) or ())
    axis = int(node.attribute("axis", 0)) % rank
    factors = ctx.release(ctx.factors(node.inputs[0]), (axis,), f"{node.op} over this axis")
    names = {a: a - (a > axis) for a in range(rank) if a != axis}
    if node.attribute("keepdims", 1):
        names = {a: a for a in range(rank)}
    ctx.set(node.outputs[0], ctx.shift(factors, names))
