"""Convolutions with something fused to them, or with channels last."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxprune.rules.api import (
    Change,
    Operand,
    causal_conv,
    channels,
    conv_groups,
    convolution_macs,
    infer_like,
    macs,
    operand,
    per_channel,
    rule,
    shapes,
    update,
)
from onnxprune_contrib_ops.domain import MICROSOFT, element_type, known

if TYPE_CHECKING:
    from onnxprune.rules.api import Cuts, Inferred, LabelContext, Node, Shape, Shapes

update("FusedConv", domain=MICROSOFT)(conv_groups)
macs("FusedConv", "CausalConvWithState", "NhwcConv", domain=MICROSOFT)(convolution_macs(1))
macs("QLinearConv", domain=MICROSOFT)(convolution_macs(3))


@rule("FusedConv", domain=MICROSOFT, grouped_weight=1)
def fused_conv(ctx: LabelContext, node: Node) -> None:
    """As Conv; what is added to the result leaves with it."""
    y = per_channel(ctx, node, channels(ctx, node, data=0, weight=1), (2,))
    added = node.input(3)
    if added:
        shape = ctx.shape(node.outputs[0]) or ()
        whole = Operand(y, dict(enumerate(shape)), node.outputs[0])
        y = ctx.align([whole, operand(ctx, added, range(len(shape)))])
    ctx.set(node.outputs[0], y)


@shapes("FusedConv", domain=MICROSOFT)
def fused_conv_shape(found: Shapes, node: Node) -> Inferred:
    """As Conv."""
    return infer_like(found, node, "Conv")


@rule("NhwcConv", domain=MICROSOFT)
def conv_last(ctx: LabelContext, node: Node) -> None:
    """As Conv, of one group, with channels last in data, weight and result."""
    if int(node.attribute("group", 1)) != 1:
        ctx.opaque(node, "groups of channels that are last")
        return
    x_key, w_key = node.inputs[:2]
    x_shape, w_shape = ctx.shape(x_key) or (), ctx.shape(w_key) or ()
    last = len(x_shape) - 1
    inner, space = last + 1, range(1, last)
    x = ctx.release(ctx.factors(x_key), space, "a convolution needs its space whole")
    w = ctx.release(ctx.factors(w_key), space, "kernel axes stay")
    ctx.consumes(node, 0, (last,))
    x_sizes, w_sizes = (
        {0: x_shape[0], inner: x_shape[last]},
        {last: w_shape[0], inner: w_shape[last]},
    )
    y = ctx.contract(
        [
            Operand(ctx.shift(x, {0: 0, last: inner}), x_sizes, x_key),
            Operand(ctx.shift(w, {0: last, last: inner}), w_sizes, w_key),
        ],
        (inner,),
    )
    bias = node.input(2)
    if bias:
        sizes = {0: x_shape[0], last: w_shape[0]}
        y = ctx.align([Operand(y, sizes, node.outputs[0]), operand(ctx, bias, (last,))])
    ctx.set(node.outputs[0], y)


@shapes("NhwcConv", domain=MICROSOFT)
def conv_last_shape(found: Shapes, node: Node) -> Inferred:
    """As a convolution with channels last."""
    x, w = known(found, node.inputs[0]), known(found, node.inputs[1])
    result = windows(node, _first(x, last=True), w[1:-1], w[0])
    return [(element_type(found, node.inputs[0]), (result[0], *result[2:], result[1]))]


@rule("QLinearConv", domain=MICROSOFT, grouped_weight=3)
def quantised_conv(ctx: LabelContext, node: Node) -> None:
    """As QLinearConv of ai.onnx, with channels second or last."""
    last = bool(node.attribute("channels_last", 0))
    y = channels(ctx, node, data=0, weight=3, zero=2, last=last)
    shape = ctx.shape(node.outputs[0]) or ()
    axis = len(shape) - 1 if last else 1
    sizes = {0: shape[0], axis: shape[axis]}
    parts = [Operand(ctx.shift(y, {0: 0, 1: axis}), sizes, node.outputs[0])]
    for position in (4, 5, 8):
        key = node.input(position)
        if key and ctx.shape(key) not in ((), (1,)):
            parts.append(operand(ctx, key, (axis,)))
    ctx.set(node.outputs[0], ctx.align(parts))


@update("QLinearConv", domain=MICROSOFT)
def quantised_conv_groups(cuts: Cuts, node: Node) -> Change:
    """Whole groups that left no longer count."""
    groups = int(node.attribute("group", 1))
    rank = len(cuts.old_shape(node.inputs[0]))
    axis = rank - 1 if node.attribute("channels_last", 0) else 1
    kept = cuts.keep(node.inputs[0], axis).reshape(groups, -1)
    count = int(np.count_nonzero(kept.any(axis=1)))
    return Change(attributes={"group": count} if count != groups else {})


@shapes("QLinearConv", domain=MICROSOFT)
def quantised_conv_shape(found: Shapes, node: Node) -> Inferred:
    """As a convolution of the same sizes."""
    kind = element_type(found, node.inputs[7])
    x, w = known(found, node.inputs[0]), known(found, node.inputs[3])
    last = bool(node.attribute("channels_last", 0))
    result = windows(node, _first(x, last=last), w[2:], w[0])
    return [(kind, (result[0], *result[2:], result[1]) if last else result)]


def _first(shape: Shape, *, last: bool) -> Shape:
    """Return a shape with channels second."""
    return (shape[0], shape[-1], *shape[1:-1]) if last else shape


def windows(node: Node, x: Shape, kernel: Shape, out: int) -> Shape:
    """Return [batch, out, space] of a convolution or pooling over [batch, channels, space]."""
    rank = len(x) - 2
    strides, dilations = (list(node.attribute(n) or [1] * rank) for n in ("strides", "dilations"))
    pads = list(node.attribute("pads") or [0] * (2 * rank))
    auto = node.attribute("auto_pad", "NOTSET")
    space = []
    for i, size in enumerate(x[2:]):
        reach = dilations[i] * (kernel[i] - 1) + 1
        if auto in ("SAME_UPPER", "SAME_LOWER"):
            space.append(-(-size // strides[i]))
            continue
        free = size + (pads[i] + pads[i + rank] if auto == "NOTSET" else 0) - reach
        up = strides[i] - 1 if node.attribute("ceil_mode", 0) else 0
        space.append((free + up) // strides[i] + 1)
    return (x[0], out, *space)


@rule("CausalConvWithState", domain=MICROSOFT)
def causal_conv_with_state(ctx: LabelContext, node: Node) -> None:
    """Channels of data, kernel, bias and state leave together; time stays."""
    plain = len(ctx.shape(node.inputs[0]) or ()) == 3
    if not plain or node.attribute("channels_last", 0) or node.attribute("state_window", 0):
        ctx.opaque(node, "a causal convolution in another layout than [batch channels time]")
        return
    causal_conv(ctx, node)


@shapes("CausalConvWithState", domain=MICROSOFT)
def causal_conv_shape(found: Shapes, node: Node) -> Inferred:
    """The result is as the data, the state as long as the kernel reaches back."""
    x, w = known(found, node.inputs[0]), known(found, node.inputs[1])
    if len(x) != 3 or node.attribute("channels_last", 0) or node.attribute("state_window", 0):
        return []
    kind = element_type(found, node.inputs[0])
    reach = (w[2] - 1) * int(node.attribute("dilation", 1))
    return [(kind, x), (kind, (x[0], x[1], reach))]


@rule("NhwcMaxPool", domain=MICROSOFT)
def pool_last(ctx: LabelContext, node: Node) -> None:
    """Batch and channels pass; space stays."""
    rank = len(ctx.shape(node.inputs[0]) or ())
    factors = ctx.release(ctx.factors(node.inputs[0]), range(1, rank - 1), "pooled over this axis")
    ctx.set(node.outputs[0], factors)


@shapes("NhwcMaxPool", domain=MICROSOFT)
def pool_last_shape(found: Shapes, node: Node) -> Inferred:
    """As a pooling with channels last."""
    x = known(found, node.inputs[0])
    result = windows(node, _first(x, last=True), tuple(node.attribute("kernel_shape")), x[-1])
    return [(element_type(found, node.inputs[0]), (result[0], *result[2:], result[1]))]


@rule("QLinearAveragePool", "QLinearGlobalAveragePool", domain=MICROSOFT)
def quantised_pool(ctx: LabelContext, node: Node) -> None:
    """Batch and channels pass; space stays."""
    rank = len(ctx.shape(node.inputs[0]) or ())
    channel = rank - 1 if node.attribute("channels_last", 0) else 1
    space = [a for a in range(1, rank) if a != channel]
    factors = ctx.release(ctx.factors(node.inputs[0]), space, "pooled over this axis")
    ctx.set(node.outputs[0], factors)


@shapes("QLinearAveragePool", domain=MICROSOFT)
def quantised_pool_shape(found: Shapes, node: Node) -> Inferred:
    """As a pooling of the same sizes."""
    last = bool(node.attribute("channels_last", 0))
    x = _first(known(found, node.inputs[0]), last=last)
    result = windows(node, x, tuple(node.attribute("kernel_shape")), x[1])
    shape = (result[0], *result[2:], result[1]) if last else result
    return [(element_type(found, node.inputs[0]), shape)]


@shapes("QLinearGlobalAveragePool", domain=MICROSOFT)
def quantised_global_pool_shape(found: Shapes, node: Node) -> Inferred:
    """One position of each channel."""
    x = known(found, node.inputs[0])
    ones = (1,) * (len(x) - 2)
    last = bool(node.attribute("channels_last", 0))
    shape = (x[0], *ones, x[-1]) if last else (x[0], x[1], *ones)
    return [(element_type(found, node.inputs[0]), shape)]
