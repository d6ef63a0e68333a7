"""Attention with its projections inside: one weight [inputs, queries + keys + values]."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.rules.api import STEPS, Change, Operand, Term, macs, rule, shapes, update
from onnxprune_contrib_ops.attention import (
    Heads,
    attend,
    flat_heads,
    mask_heads,
    set_flat,
    whole,
)
from onnxprune_contrib_ops.domain import MICROSOFT, element_type, known

if TYPE_CHECKING:
    from onnxprune.rules.api import Cuts, Factors, Inferred, LabelContext, Node, Rank, Shape, Shapes

INPUT, OUTPUT = range(2)  # common axes of data and weight


def part_sizes(node: Node, weight: Shape) -> tuple[int, int, int]:
    """Return how wide queries, keys and values are together."""
    given = node.attribute("qkv_hidden_sizes")
    if given:
        return (int(given[0]), int(given[1]), int(given[2]))
    third = weight[1] // 3
    return (third, third, third)


def project(ctx: LabelContext, node: Node, scales: tuple[int, ...], zero: int | None) -> Factors:
    """Contract data [batch steps inputs] and weight; labels over the one flat axis of the result.

    Args:
        ctx: the labels.
        node: the node.
        scales: positions of scales and zero points, one for all columns or one for each.
        zero: position of the zero point of quantised data.
    """
    x_key, w_key = node.inputs[:2]
    inputs, width = ctx.shape(w_key) or (1, 1)
    x = ctx.release(ctx.factors(x_key), (0, 1), STEPS)
    ctx.consumes(node, 0, (2,), zero=zero)
    flat = ctx.contract(
        [
            Operand(ctx.shift(x, {2: INPUT}), {INPUT: inputs}, x_key),
            Operand(ctx.shift(ctx.factors(w_key), {0: INPUT, 1: OUTPUT}),
                    {INPUT: inputs, OUTPUT: width}, w_key),
        ],
        (INPUT,),
    )  # fmt: skip
    parts = [Operand(flat, {OUTPUT: width}, w_key)]
    for key in (node.input(p) for p in (2, *scales)):
        if key and ctx.shape(key) not in ((), (1,)):
            vector = ctx.shift(ctx.factors(key), {0: OUTPUT})
            parts.append(Operand(vector, {OUTPUT: width}, key))
    return ctx.shift(ctx.align(parts), {OUTPUT: 0})


def projected(ctx: LabelContext, node: Node, flat: Factors, cache: str, mask: str) -> None:
    """Split a projection into heads, let them meet, and set the outputs."""
    count = int(node.attribute("num_heads"))
    weight = ctx.shape(node.inputs[1]) or ()
    sizes = part_sizes(node, (weight[0], weight[1]))
    parts: list[Heads] = []
    start = 0
    for size in sizes:
        part = ctx.take(flat, 0, np.arange(start, start + size))
        parts.append(flat_heads(ctx, part, size, count, node.inputs[1]))
        start += size
    query, keys, values = whole(ctx, parts[0]), whole(ctx, parts[1]), parts[2]
    if cache or node.output(1) or not node.attribute("qkv_hidden_sizes"):
        values = whole(ctx, values, "as wide as keys")
    if cache:  # [2 batch heads steps size]
        kept = ctx.release(ctx.factors(cache), (0, 1, 3, 4), STEPS)
        labels = ctx.shift(kept, {2: 0})
        both = ctx.align([keys.operand, Operand(labels, {0: count}, cache)])
        keys = replace(keys, factors=both)
    result = attend(ctx, query, keys, values, mask_heads(ctx, mask, count))
    if node.output(1):
        ctx.set(node.outputs[1], ctx.shift(keys.factors, {0: 2}))
    set_flat(ctx, node.outputs[0], result, count, values.size)


@rule("Attention", domain=MICROSOFT)
def attention(ctx: LabelContext, node: Node) -> None:
    """Input features, and whole heads; sizes of values where `qkv_hidden_sizes` gives them."""
    if node.attribute("do_rotary", 0) or node.attribute("past_present_share_buffer", 0):
        ctx.opaque(node, "turned heads, or a cache that is shared")
        return
    projected(ctx, node, project(ctx, node, (), None), node.input(4), node.input(5))


@rule("QAttention", domain=MICROSOFT)
def quantised_attention(ctx: LabelContext, node: Node) -> None:
    """As Attention; scales and zero points leave with their column."""
    if node.attribute("do_rotary", 0) or node.attribute("past_present_share_buffer", 0):
        ctx.opaque(node, "turned heads, or a cache that is shared")
        return
    projected(ctx, node, project(ctx, node, (4, 7), 6), node.input(8), "")


@shapes("Attention", "QAttention", domain=MICROSOFT)
def attention_shape(found: Shapes, node: Node) -> Inferred:
    """As many steps as the data, as wide as the values."""
    x, weight = known(found, node.inputs[0]), known(found, node.inputs[1])
    sizes = part_sizes(node, weight)
    kind = element_type(found, node.inputs[0 if node.op == "Attention" else 3])
    past = node.input(4 if node.op == "Attention" else 8)
    steps = x[1] + (known(found, past)[3] if past else 0)
    count = int(node.attribute("num_heads"))
    cache = (2, x[0], count, steps, sizes[1] // count)
    return [(kind, (*x[:2], sizes[2])), (kind, cache)]


@update("Attention", "QAttention", domain=MICROSOFT)
def attention_counts(cuts: Cuts, node: Node) -> Change:
    """Write the number of heads and, where they are given, the sizes of the parts."""
    count = int(node.attribute("num_heads"))
    sizes = part_sizes(node, cuts.old_shape(node.inputs[1]))
    kept = cuts.keep(node.inputs[1], 1)
    parts = np.split(kept, np.cumsum(sizes)[:2])
    left = int(np.count_nonzero(parts[0].reshape(count, -1).any(axis=1)))
    attributes: dict[str, int | list[int]] = {"num_heads": left}
    if node.attribute("qkv_hidden_sizes"):
        attributes["qkv_hidden_sizes"] = [int(p.sum()) for p in parts]
    return Change(attributes=attributes)


@macs("Attention", "QAttention", domain=MICROSOFT)
def attention_macs(node: Node, _rank: Rank) -> list[Term]:
    """Count the projections, the scores, and their product with the values."""
    x, weight = node.inputs[:2]
    step = ((x, 0), (x, 1))
    width = (node.outputs[0], 2)
    return [Term(node, (*step, (weight, 0), (weight, 1))), Term(node, (*step, (x, 1), width), 2)]
