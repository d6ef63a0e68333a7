"""Normalisations with what is added in front of them: over channels they are only approximate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto

from onnxprune.rules.api import (
    Change,
    Operand,
    layer_norm,
    meet,
    normalised,
    operand_to_right,
    rule,
    shapes,
    update,
)
from onnxprune_contrib_ops.domain import MICROSOFT, as_first, element_type, known

if TYPE_CHECKING:
    from onnxprune.rules.api import Cuts, Factors, Inferred, LabelContext, Node, Shapes

SKIP = {"SkipLayerNormalization": 4, "SkipSimplifiedLayerNormalization": 3}
"""Position of the bias that is added with the skip connection."""

GROUPED = ("GroupNorm", "SkipGroupNorm")

rule("SimplifiedLayerNormalization")(layer_norm)


@rule(*SKIP, domain=MICROSOFT)
def skip_layer_norm(ctx: LabelContext, node: Node) -> None:
    """Axes in front of the last pass; that one only approximately."""
    shape = ctx.shape(node.inputs[0]) or ()
    bias = SKIP[node.op]
    total = meet(ctx, [k for k in (*node.inputs[:2], node.input(bias)) if k], len(shape))
    result = _over_last(ctx, node, total, shape, [k for k in node.inputs[2:bias] if k])
    ctx.set(node.outputs[0], result)
    for key in node.outputs[1:3]:  # statistics, by position
        ctx.set(key, tuple(f for f in total if len(shape) - 1 not in f.axes))
    ctx.set(node.output(3), total)


def _over_last(
    ctx: LabelContext, node: Node, factors: Factors, shape: tuple[int, ...], scales: list[str]
) -> Factors:
    last = len(shape) - 1
    kept = normalised(ctx, factors, (last,), f"{node.op} normalises over this axis")
    parts = [Operand(kept, dict(enumerate(shape)), node.inputs[0])]
    return ctx.align(parts + [operand_to_right(ctx, k, len(shape)) for k in scales])


@shapes(*SKIP, domain=MICROSOFT)
def skip_layer_norm_shape(found: Shapes, node: Node) -> Inferred:
    """The results are as the data, statistics have one number per position."""
    first = as_first(found, node)[0]
    shape = known(found, node.inputs[0])
    statistics = (TensorProto.FLOAT, (*shape[:-1], 1))
    return [first, statistics, statistics, first]


@rule("GatedRMSNorm", domain=MICROSOFT)
def gated_rms_norm(ctx: LabelContext, node: Node) -> None:
    """Axes in front of the last pass; that one only approximately."""
    shape = ctx.shape(node.inputs[0]) or ()
    if ctx.shape(node.inputs[1]) != shape[-1:]:
        ctx.opaque(node, "normalises several parts of an axis")
        return
    factors = ctx.factors(node.inputs[0])
    ctx.set(node.outputs[0], _over_last(ctx, node, factors, shape, list(node.inputs[1:3])))


shapes("GatedRMSNorm", domain=MICROSOFT)(as_first)


@rule("EmbedLayerNormalization", domain=MICROSOFT)
def embed_layer_norm(ctx: LabelContext, node: Node) -> None:
    """The embedded axis leaves only approximately; tables keep their rows."""
    shape = ctx.shape(node.outputs[0]) or ()
    reason = "selected by computed indices"
    tables = [
        ctx.release(ctx.factors(node.inputs[p]), (0,), reason)
        for p in (2, 3, 4) if node.input(p)
    ]  # fmt: skip
    sizes = {2: shape[2]}
    parts = [Operand(ctx.shift(t, {1: 2}), sizes, node.outputs[0]) for t in tables]
    total = ctx.align(parts)
    scales = [node.inputs[5], node.inputs[6]]
    ctx.set(node.outputs[0], _over_last(ctx, node, total, shape, scales))
    ctx.set(node.output(1), ())
    ctx.set(node.output(2), total)


@shapes("EmbedLayerNormalization", domain=MICROSOFT)
def embed_layer_norm_shape(found: Shapes, node: Node) -> Inferred:
    """One embedding per token."""
    tokens, table = known(found, node.inputs[0]), known(found, node.inputs[2])
    result = (element_type(found, node.inputs[2]), (*tokens, table[1]))
    return [result, (TensorProto.INT32, (tokens[0],)), result]


@rule(*GROUPED, domain=MICROSOFT)
def group_norm(ctx: LabelContext, node: Node) -> None:
    """Whole normalisation groups leave."""
    shape = ctx.shape(node.inputs[0]) or ()
    rank = len(shape)
    axis = _channel_axis(node, rank)
    groups, channels = int(node.attribute("groups")), shape[axis]
    data = [Operand(ctx.factors(node.inputs[0]), dict(enumerate(shape)), node.inputs[0])]
    for key in (node.input(3), node.input(4)):
        if key:
            sizes = ctx.shape(key) or ()
            names = (axis,) if len(sizes) == 1 else (0, axis) if len(sizes) == 2 else range(rank)
            factors = ctx.shift(ctx.factors(key), dict(enumerate(names)))
            data.append(Operand(factors, dict(zip(names, sizes, strict=True)), key))
    total = ctx.align(data)
    space = [a for a in range(1, rank) if a != axis]
    kept = ctx.shift(ctx.release(total, space, "normalised over this axis"), {0: 0, axis: 1})
    view = (shape[0], groups, channels // groups)
    inner = ctx.reshape(kept, (shape[0], channels), view)
    for key in node.inputs[1:3]:
        vector = ctx.reshape(ctx.factors(key), (channels,), view[1:])
        part = Operand(ctx.shift(vector, {0: 1, 1: 2}), {1: groups, 2: view[2]}, key)
        inner = ctx.align([Operand(inner, dict(enumerate(view)), node.inputs[0]), part])
    inner = ctx.release(inner, (2,), "normalised over this group")
    result = ctx.shift(ctx.reshape(inner, view, (shape[0], channels)), {0: 0, 1: axis})
    ctx.set(node.outputs[0], result)
    ctx.set(node.output(1), result)


def _channel_axis(node: Node, rank: int) -> int:
    return rank - 1 if node.attribute("channels_last", 1) else 1


@update(*GROUPED, domain=MICROSOFT)
def group_norm_groups(cuts: Cuts, node: Node) -> Change:
    """Whole groups that left no longer count."""
    groups = int(node.attribute("groups"))
    axis = _channel_axis(node, len(cuts.old_shape(node.inputs[0])))
    kept = cuts.keep(node.inputs[0], axis).reshape(groups, -1)
    return Change(attributes={"groups": int(np.count_nonzero(kept.any(axis=1)))})


shapes(*GROUPED, domain=MICROSOFT)(as_first)
