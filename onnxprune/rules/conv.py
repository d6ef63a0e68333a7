"""Convolutions: output channels from the weight, input channels summed, groups as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxprune.core.context import Operand
from onnxprune.core.cuts import Change
from onnxprune.core.registry import rule, update

if TYPE_CHECKING:
    from onnxprune.core.context import LabelContext
    from onnxprune.core.cuts import Cuts
    from onnxprune.core.graph import Node
    from onnxprune.core.labels import Factors

BATCH, GROUP, IN, OUT = range(4)  # common axes of data, weight and result


@rule("Conv", "ConvTranspose", grouped_weight=1)
def conv(ctx: LabelContext, node: Node) -> None:
    """Output and input channels; groups lose equally many, or leave whole."""
    y = channels(ctx, node, data=0, weight=1)
    ctx.set(node.outputs[0], per_channel(ctx, node, y, (2,)))


@rule("ConvInteger", grouped_weight=1)
def conv_integer(ctx: LabelContext, node: Node) -> None:
    """As Conv; zero points per output channel leave with it."""
    y = channels(ctx, node, data=0, weight=1, zero=2)
    ctx.set(node.outputs[0], per_channel(ctx, node, y, (3,)))


@rule("QLinearConv", grouped_weight=3)
def qlinear_conv(ctx: LabelContext, node: Node) -> None:
    """As Conv; scales and zero points per output channel leave with it."""
    y = channels(ctx, node, data=0, weight=3, zero=2)
    ctx.set(node.outputs[0], per_channel(ctx, node, y, (4, 5, 8)))


@rule("DeformConv", grouped_weight=1)
def deform_conv(ctx: LabelContext, node: Node) -> None:
    """As Conv; the channels of each group of offsets shrink evenly, offsets stay."""
    shape = ctx.shape(node.inputs[0]) or ()
    groups = int(node.attribute("offset_group", 1))
    if groups > 1:  # this alone asks for a balance
        x = ctx.release(ctx.factors(node.inputs[0]), range(2, len(shape)), "needed whole")
        split = ctx.reshape(x, shape[:2], (shape[0], groups, shape[1] // groups))
        ctx.freeze([f for f in split if f.axes == (1,)], "groups of offsets stay")
    y = channels(ctx, node, data=0, weight=1)
    result = per_channel(ctx, node, y, (3,))
    samples = [Operand(result, dict(enumerate(ctx.shape(node.outputs[0]) or ())), node.inputs[0])]
    for key in (node.inputs[2], node.input(4)):
        if key:
            offsets = ctx.release(ctx.factors(key), (1, 2, 3), "offsets stay")
            samples.append(Operand(offsets, {0: shape[0]}, key))
    ctx.set(node.outputs[0], ctx.align(samples))


@rule("CausalConvWithState")
def causal_conv(ctx: LabelContext, node: Node) -> None:
    """Channels of data, kernel, bias and state leave together; time stays."""
    shape = ctx.shape(node.inputs[0]) or ()
    sizes = {0: shape[0], 1: shape[1]}
    operands = []
    for position in (0, 3):
        key = node.input(position)
        if key:
            kept = ctx.release(ctx.factors(key), (2,), "a convolution needs its space whole")
            operands.append(Operand(kept, sizes, key))
    for key in node.inputs[1:3]:
        if key:
            kept = ctx.release(ctx.factors(key), (1, 2), "kernel axes stay")
            operands.append(Operand(ctx.shift(kept, {0: 1}), {1: shape[1]}, key))
    result = ctx.align(operands)
    for key in node.outputs:
        ctx.set(key, result)


def channels(
    ctx: LabelContext,
    node: Node,
    *,
    data: int,
    weight: int,
    zero: int | None = None,
    last: bool = False,
) -> Factors:
    """Carry labels through a convolution whose data and weight stand at given inputs.

    Args:
        ctx: the labels.
        node: the node.
        data: position of the data [batch, channels, ...].
        weight: position of the weight.
        zero: position of the zero point of quantised data.
        last: whether channels are the last axis of data and result.

    Returns:
        Factors of the result, over axes 0 (batch) and 1 (channels).
    """
    x_key, w_key = node.inputs[data], node.inputs[weight]
    x_shape, w_shape, y_shape = (ctx.shape(k) or () for k in (x_key, w_key, node.outputs[0]))
    groups = int(node.attribute("group", 1))
    axis = len(x_shape) - 1 if last else 1
    batch, c_in, c_out = x_shape[0], x_shape[axis], y_shape[axis]
    if c_in % groups or c_out % groups:
        ctx.opaque(node, "channels do not divide by the group attribute")
        return ()
    space = [a for a in range(1, len(x_shape)) if a != axis]
    x = ctx.release(ctx.factors(x_key), space, "a convolution needs its space whole")
    x = ctx.shift(x, {0: 0, axis: 1})
    w = ctx.release(ctx.factors(w_key), range(2, len(w_shape)), "kernel axes stay")
    x = ctx.reshape(x, (batch, c_in), (batch, groups, c_in // groups))
    per_in, per_out = c_in // groups, c_out // groups
    if node.op == "ConvTranspose":
        w = ctx.reshape(w, (c_in, per_out), (groups, per_in, per_out))
        names = {0: GROUP, 1: IN, 2: OUT}
    else:
        w = ctx.reshape(w, (c_out, per_in), (groups, per_out, per_in))
        names = {0: GROUP, 1: OUT, 2: IN}
    apart = per_in if groups > 1 else None
    ctx.consumes(node, data, (axis,), zero=zero, per_group=apart)
    y = ctx.contract(
        [
            Operand(x, {BATCH: batch, GROUP: groups, IN: per_in}, x_key),
            Operand(ctx.shift(w, names), {GROUP: groups, IN: per_in, OUT: per_out}, w_key),
        ],
        (IN,),
    )
    return ctx.reshape(
        ctx.shift(y, {BATCH: 0, GROUP: 1, OUT: 2}), (batch, groups, per_out), (batch, c_out)
    )


def per_channel(
    ctx: LabelContext, node: Node, result: Factors, positions: tuple[int, ...]
) -> Factors:
    """Let a result meet vectors with one element per output channel."""
    batch, c_out = (ctx.shape(node.outputs[0]) or (1, 1))[:2]
    for position in positions:
        key = node.input(position)
        if key and ctx.shape(key):
            vector = tuple(f.rename((1,)) for f in ctx.factors(key))
            size = (ctx.shape(key) or (1,))[0]
            whole = Operand(result, {0: batch, 1: c_out}, node.outputs[0])
            result = ctx.align([whole, Operand(vector, {1: size}, key)])
    return result


@update("Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "DeformConv")
def conv_groups(cuts: Cuts, node: Node) -> Change:
    """Whole groups that left no longer count."""
    groups = int(node.attribute("group", 1))
    if groups == 1:
        return Change()
    kept = cuts.keep(node.inputs[0], 1).reshape(groups, -1)
    count = int(np.count_nonzero(kept.any(axis=1)))
    return Change(attributes={"group": count} if count != groups else {})
