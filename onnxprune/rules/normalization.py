"""Normalisations: per channel they pass; over channels they are only approximate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxprune.core.context import LabelContext, Operand
from onnxprune.core.cuts import Change
from onnxprune.core.registry import rule, update
from onnxprune.rules.elementwise import operand_to_right

if TYPE_CHECKING:
    from collections.abc import Collection

    from onnxprune.core.cuts import Cuts
    from onnxprune.core.graph import Node
    from onnxprune.core.labels import Factor, Factors


def _per_channel(ctx: LabelContext, node: Node, first: int, last: int) -> list[Operand]:
    shape = ctx.shape(node.inputs[0]) or ()
    channels = shape[1] if len(shape) > 1 else 1
    operands = []
    for key in node.inputs[first:last]:
        if key:
            vector = tuple(f.rename((1,)) for f in ctx.factors(key))
            operands.append(Operand(vector, {1: channels}, key))
    return operands


def _data(ctx: LabelContext, node: Node) -> Operand:
    shape = ctx.shape(node.inputs[0]) or ()
    return Operand(ctx.factors(node.inputs[0]), dict(enumerate(shape)), node.inputs[0])


def normalised(ctx: LabelContext, factors: Factors, axes: Collection[int], reason: str) -> Factors:
    """Mark labels along normalised axes as approximate.

    Rows along those axes are compared position by position, so they lose the same indices; rows
    that are normalised one by one may leave as wholes.
    """
    kept: list[Factor] = []
    for factor in factors:
        rest = tuple(a for a in factor.axes if a not in axes)
        crossed = rest and len(rest) < len(factor.axes)
        if crossed and factor.axes[-1] in axes:
            ctx.structure(factor, rest)
        rows = crossed and factor.axes[-1] not in axes
        kept.append(ctx.collapse(factor, rest) if rows else factor)
    ctx.approximate(kept, axes, reason)
    return tuple(kept)


def _apart(ctx: LabelContext, factors: Factors, axes: Collection[int]) -> Factors:
    """Keep what does not run along normalised axes; of weights, along those as well."""
    reason = "normalised over this axis"
    keep = normalised if ctx.ahead else LabelContext.release
    return keep(ctx, factors, axes, reason)


@rule("BatchNormalization")
def batch_norm(ctx: LabelContext, node: Node) -> None:
    """All axes pass; in training mode only channels."""
    data = _data(ctx, node)
    if not node.attribute("spatial", 1):
        ctx.opaque(node, "normalises each position by itself (spatial = 0)")
        return
    training = node.attribute("training_mode", 0) or any(node.outputs[1:])
    if training:
        space = [a for a in data.sizes if a != 1]
        data = Operand(_apart(ctx, data.factors, space), data.sizes, data.key)
    result = ctx.align([data, *_per_channel(ctx, node, 1, 5)])
    ctx.set(node.outputs[0], result)
    for key in node.outputs[1:]:
        ctx.set(key, [f.rename((0,)) for f in result if f.axes == (1,)])


@rule("InstanceNormalization")
def instance_norm(ctx: LabelContext, node: Node) -> None:
    """Batch and channels pass; space stays."""
    data = _data(ctx, node)
    kept = _apart(ctx, data.factors, range(2, len(data.sizes)))
    data = Operand(kept, data.sizes, data.key)
    ctx.set(node.outputs[0], ctx.align([data, *_per_channel(ctx, node, 1, 3)]))


@rule("LayerNormalization", "RMSNormalization")
def layer_norm(ctx: LabelContext, node: Node) -> None:
    """Axes in front of the normalised ones pass; those only approximately."""
    data = _data(ctx, node)
    rank = len(data.sizes)
    axis = int(node.attribute("axis", -1)) % max(rank, 1)
    axes = range(axis, rank)
    factors = normalised(ctx, data.factors, axes, f"{node.op} normalises over this axis")
    scales = [operand_to_right(ctx, key, rank) for key in node.inputs[1:3] if key]
    ctx.set(node.outputs[0], ctx.align([Operand(factors, data.sizes, data.key), *scales]))
    for key in node.outputs[1:]:
        ctx.set(key, tuple(f for f in factors if max(f.axes) < axis))


@rule("GroupNormalization")
def group_norm(ctx: LabelContext, node: Node) -> None:
    """Whole normalisation groups leave."""
    data = _data(ctx, node)
    shape = tuple(data.sizes.values())
    groups = int(node.attribute("num_groups"))
    view = (shape[0], groups, shape[1] // groups)
    kept = ctx.release(data.factors, range(2, len(shape)), "normalised over this axis")
    inner = ctx.release(ctx.reshape(kept, shape[:2], view), (2,), "normalised over this group")
    for key in node.inputs[1:3]:
        size = (ctx.shape(key) or (1,))[0]
        per_group = groups if size == groups else shape[1]
        vector = ctx.reshape(ctx.factors(key), (per_group,), (groups, per_group // groups))
        vector = ctx.release(vector, (1,), "belongs to a normalisation group")
        inner = ctx.align(
            [
                Operand(inner, dict(enumerate(view)), data.key),
                Operand(ctx.shift(vector, {0: 1}), {1: groups}, key),
            ]
        )
    ctx.set(node.outputs[0], ctx.reshape(inner, view, shape[:2]))


@update("GroupNormalization")
def group_norm_groups(cuts: Cuts, node: Node) -> Change:
    """Whole groups that left no longer count."""
    groups = int(node.attribute("num_groups"))
    kept = cuts.keep(node.inputs[0], 1).reshape(groups, -1)
    return Change(attributes={"num_groups": int(np.count_nonzero(kept.any(axis=1)))})


@rule("LpNormalization")
def lp_norm(ctx: LabelContext, node: Node) -> None:
    """Axes that are not normalised pass; a normalised one only approximately."""
    data = _data(ctx, node)
    axis = int(node.attribute("axis", -1)) % len(data.sizes)
    ctx.set(node.outputs[0], normalised(ctx, data.factors, (axis,), "a norm over this axis"))


@rule("LRN")
def local_response(ctx: LabelContext, node: Node) -> None:
    """All axes pass but channels, which look at their neighbours."""
    factors = ctx.release(ctx.factors(node.inputs[0]), (1,), "normalised over nearby channels")
    ctx.set(node.outputs[0], factors)


@rule("MeanVarianceNormalization")
def mean_variance(ctx: LabelContext, node: Node) -> None:
    """Axes that are not normalised pass; normalised ones only approximately."""
    rank = len(ctx.shape(node.inputs[0]) or ())
    axes = [a % rank for a in node.attribute("axes", [0, 2, 3])]
    factors = ctx.factors(node.inputs[0])
    ctx.set(node.outputs[0], normalised(ctx, factors, axes, "normalised over this axis"))


@rule("Softmax", "LogSoftmax", "Hardmax")
def softmax(ctx: LabelContext, node: Node) -> None:
    """Axes that are not normalised pass; normalised ones only approximately."""
    factors = ctx.factors(node.inputs[0])
    rank = len(ctx.shape(node.inputs[0]) or ())
    modern = node.since >= 13
    axis = int(node.attribute("axis", -1 if modern else 1)) % max(rank, 1)
    axes = (axis,) if modern else range(axis, rank)
    reason = f"{node.op} normalises over this axis"
    ctx.set(node.outputs[0], normalised(ctx, factors, axes, reason))
