"""Operators on packed heads that need each head whole: rotary embedding, linear attention."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxprune.core.context import Operand
from onnxprune.core.cuts import Change
from onnxprune.core.registry import rule, update
from onnxprune.rules.attention import STEPS, heads_left, merge_heads, split_heads

if TYPE_CHECKING:
    from onnxprune.core.context import LabelContext
    from onnxprune.core.cuts import Cuts
    from onnxprune.core.graph import Node

BATCH, STEP, GROUP, SHARE, VALUE = range(5)


@rule("RotaryEmbedding")
def rotary(ctx: LabelContext, node: Node) -> None:
    """Whole heads leave; batch and steps pass."""
    shape = ctx.shape(node.inputs[0]) or ()
    heads = int(node.attribute("num_heads", 0)) or shape[1]
    factors, view = split_heads(ctx, node.inputs[0], heads)
    kept = ctx.release(factors, (3,), "turned by its position in the head")
    operands = [Operand(kept, dict(enumerate(view[:3])), node.inputs[0])]
    for key in node.inputs[1:4]:  # by batch and step, or tables that positions select from
        sizes = ctx.shape(key) or () if key else ()
        if len(sizes) == 3 or (key and key == node.input(3)):
            angles = ctx.release(ctx.factors(key), (2,), "turned by its position in the head")
            operands.append(Operand(angles, {0: sizes[0], 1: sizes[1]}, key))
    merge_heads(ctx, node.outputs[0], ctx.align(operands), view)


@update("RotaryEmbedding")
def rotary_heads(cuts: Cuts, node: Node) -> Change:
    """Write the number of heads."""
    heads = int(node.attribute("num_heads", 0))
    if not heads or len(cuts.old_shape(node.inputs[0])) != 3:
        return Change()
    return Change(attributes={"num_heads": heads_left(cuts, node.inputs[0], heads)})


@rule("LinearAttention")
def linear_attention(ctx: LabelContext, node: Node) -> None:
    """Whole heads leave; head sizes of values shrink evenly."""
    heads, shared = (int(node.attribute(n, 1)) for n in ("q_num_heads", "kv_num_heads"))
    batch, steps, _ = ctx.shape(node.inputs[0]) or (1, 1, 1)
    width = (ctx.shape(node.inputs[2]) or ())[2] // shared
    state = ctx.align(_state_parts(ctx, node, shared))
    sizes = {BATCH: batch, GROUP: shared, VALUE: width}
    factors, view = split_heads(ctx, node.inputs[0], heads)
    query = ctx.release(factors, (1, 3), STEPS)
    query = ctx.reshape(query, view[:3], (batch, steps, shared, heads // shared))
    query = ctx.shift(query, {0: BATCH, 2: GROUP, 3: SHARE})
    asked = {BATCH: batch, GROUP: shared, SHARE: heads // shared}
    result = ctx.align(
        [Operand(query, asked, node.inputs[0]), Operand(state, sizes, node.inputs[2])]
    )
    flat = ctx.reshape(
        ctx.shift(result, {BATCH: 0, GROUP: 2, SHARE: 3, VALUE: 4}),
        (batch, steps, shared, heads // shared, width),
        (batch, steps, heads, width),
    )
    merge_heads(ctx, node.outputs[0], flat, (batch, steps, heads, width))
    if node.output(1):
        ctx.set(node.outputs[1], ctx.shift(state, {BATCH: 0, GROUP: 1, VALUE: 3}))


def _state_parts(ctx: LabelContext, node: Node, heads: int) -> list[Operand]:
    """See what makes the state by key-value heads: keys, values, earlier state, decay, rate."""
    operands = []
    for position in (1, 2, 4, 5):
        key = node.input(position)
        shape = ctx.shape(key) if key else None
        if shape is None:
            continue
        if shape[2] < heads:  # one update rate for all heads
            kept = ctx.release(ctx.factors(key), (1, 2), "shared by all heads")
            operands.append(Operand(ctx.shift(kept, {0: BATCH}), {BATCH: shape[0]}, key))
            continue
        factors, view = split_heads(ctx, key, heads)
        values = position == 2
        kept = ctx.release(factors, (1,) if values else (1, 3), STEPS)
        sizes = {BATCH: shape[0], GROUP: heads, VALUE: view[3] if values else 1}
        operands.append(Operand(ctx.shift(kept, {0: BATCH, 2: GROUP, 3: VALUE}), sizes, key))
    key = node.input(3)
    if key:
        state = ctx.release(ctx.factors(key), (2,), "summed over this axis")
        shape = ctx.shape(key) or ()
        sizes = {BATCH: shape[0], GROUP: heads, VALUE: shape[3]}
        operands.append(Operand(ctx.shift(state, {0: BATCH, 1: GROUP, 3: VALUE}), sizes, key))
    return operands


@update("LinearAttention")
def linear_heads(cuts: Cuts, node: Node) -> Change:
    """Write the numbers of heads."""
    query, shared = (int(node.attribute(n, 1)) for n in ("q_num_heads", "kv_num_heads"))
    return Change(
        attributes={
            "q_num_heads": heads_left(cuts, node.inputs[0], query),
            "kv_num_heads": heads_left(cuts, node.inputs[1], shared),
        }
    )
