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

BATCH, GROUP, IN, OUT = range(4)  # common axes of data, weight and result


@rule("Conv", "ConvTranspose")
def conv(ctx: LabelContext, node: Node) -> None:
    """Sum over the input channels of each group."""
    channels(ctx, node, data=0, weight=1, bias=node.input(2))


def channels(ctx: LabelContext, node: Node, *, data: int, weight: int, bias: str) -> None:
    """Carry labels through a convolution whose data and weight stand at given inputs."""
    x_key, w_key = node.inputs[data], node.inputs[weight]
    x_shape, w_shape, y_shape = (ctx.shape(k) for k in (x_key, w_key, node.outputs[0]))
    if x_shape is None or w_shape is None or y_shape is None:
        ctx.opaque(node, "shape unknown")
        return
    groups = int(node.attribute("group", 1))
    batch, c_in, c_out = x_shape[0], x_shape[1], y_shape[1]
    transposed = node.op == "ConvTranspose"
    if c_in % groups or c_out % groups:
        ctx.opaque(node, "channels do not divide by the group attribute")
        return
    x = ctx.release(
        ctx.factors(x_key), range(2, len(x_shape)), "a convolution needs its space whole"
    )
    w = ctx.release(ctx.factors(w_key), range(2, len(w_shape)), "kernel axes stay")
    x = ctx.reshape(x, (batch, c_in), (batch, groups, c_in // groups))
    per_in, per_out = c_in // groups, c_out // groups
    if transposed:
        w = ctx.reshape(w, (c_in, per_out), (groups, per_in, per_out))
        names = {0: GROUP, 1: IN, 2: OUT}
    else:
        w = ctx.reshape(w, (c_out, per_in), (groups, per_out, per_in))
        names = {0: GROUP, 1: OUT, 2: IN}
    ctx.consumes(node, data, (1,))
    y = ctx.contract(
        [
            Operand(x, {BATCH: batch, GROUP: groups, IN: per_in}, x_key),
            Operand(ctx.shift(w, names), {GROUP: groups, IN: per_in, OUT: per_out}, w_key),
        ],
        (IN,),
    )
    y = ctx.reshape(
        ctx.shift(y, {BATCH: 0, GROUP: 1, OUT: 2}), (batch, groups, per_out), (batch, c_out)
    )
    if bias:
        b = tuple(f.rename((1,)) for f in ctx.factors(bias))
        y = ctx.align([Operand(y, {0: batch, 1: c_out}, x_key), Operand(b, {1: c_out}, bias)])
    ctx.set(node.outputs[0], y)


@update("Conv", "ConvTranspose")
def conv_groups(cuts: Cuts, node: Node) -> Change:
    """Whole groups that left no longer count."""
    return Change(attributes=kept_groups(cuts, node, data=0))


def kept_groups(cuts: Cuts, node: Node, *, data: int) -> dict[str, int]:
    """Return the new `group` attribute when it changes."""
    groups = int(node.attribute("group", 1))
    if groups == 1:
        return {}
    kept = cuts.keep(node.inputs[data], 1).reshape(groups, -1)
    count = int(np.count_nonzero(kept.any(axis=1)))
    return {"group": count} if count != groups else {}
