"""Attention over projected queries, keys and values: heads leave whole.

Query heads leave with the key-value head that they use. Sizes inside the heads of values shrink
evenly where the operator takes them at any size; those of queries and keys only where nothing but
their product looks at them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.rules.api import (
    STEPS,
    Change,
    Operand,
    Term,
    axes_from,
    heads_left,
    macs,
    rule,
    shapes,
    update,
)
from onnxprune_contrib_ops.domain import MICROSOFT, element_type, known

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from onnxprune.rules.api import Cuts, Factors, Inferred, LabelContext, Node, Rank, Shapes

GROUP, SHARE, SIZE, VALUE = range(4)
"""Common axes: a query head is one of the SHARE heads that use key-value head GROUP."""

WHOLE = "compared inside a head"
MULTI, DECODER, SHARED = (
    "MultiHeadAttention", "DecoderMaskedMultiHeadAttention", "GroupQueryAttention"
)  # fmt: skip


@dataclass(frozen=True)
class Heads:
    """Queries, keys or values.

    Attributes:
        factors: labels over axes 0 (heads) and 1 (elements of a head).
        count: number of heads.
        size: elements of a head.
        key: key of the value they come from.
    """

    factors: Factors
    count: int
    size: int
    key: str

    @property
    def operand(self) -> Operand:
        """See them in the two axes."""
        return Operand(self.factors, {0: self.count, 1: self.size}, self.key)


def heads_of(ctx: LabelContext, key: str, count: int) -> Heads:
    """View [batch steps heads*size] or [batch heads steps size] as heads."""
    shape, factors = ctx.shape(key) or (), ctx.factors(key)
    if len(shape) == 4:
        kept = ctx.release(factors, (0, 2), STEPS)
        return Heads(ctx.shift(kept, {1: 0, 3: 1}), shape[1], shape[3], key)
    kept = ctx.shift(ctx.release(factors, (0, 1), STEPS), {2: 0})
    return flat_heads(ctx, kept, shape[2], count, key)


def flat_heads(ctx: LabelContext, factors: Factors, width: int, count: int, key: str) -> Heads:
    """View labels over one flat axis as heads."""
    size = width // count
    return Heads(ctx.reshape(factors, (width,), (count, size)), count, size, key)


def whole(ctx: LabelContext, heads: Heads, reason: str = WHOLE) -> Heads:
    """Keep only whole heads free."""
    return replace(heads, factors=ctx.release(heads.factors, (1,), reason))


def meet_cache(ctx: LabelContext, heads: Heads, cache: str, output: str) -> Heads:
    """Let keys or values meet their cache [batch heads steps size], and set what is handed on."""
    if cache:
        kept = ctx.shift(ctx.release(ctx.factors(cache), (0, 2), STEPS), {1: 0, 3: 1})
        part = Operand(kept, {0: heads.count, 1: heads.size}, cache)
        heads = replace(heads, factors=ctx.align([heads.operand, part]))
    if output:
        ctx.set(output, ctx.shift(heads.factors, {0: 1, 1: 3}))
    return heads


def attend(
    ctx: LabelContext, query: Heads, keys: Heads, values: Heads, others: Iterable[Heads] = ()
) -> Factors:
    """Let heads meet, and return labels of the result over [heads elements].

    Args:
        ctx: the labels.
        query: the queries.
        keys: the keys, of as many heads or fewer.
        values: the values, of as many heads as the keys.
        others: labels of query heads besides: masks, sinks.
    """
    groups, share = keys.count, query.count // keys.count
    sizes = {GROUP: groups, SHARE: share}

    def by_group(heads: Heads) -> Operand:
        view = (groups, share, heads.size)
        split = ctx.reshape(heads.factors, (heads.count, heads.size), view)
        named = ctx.shift(split, {0: GROUP, 1: SHARE, 2: SIZE})
        return Operand(named, {**sizes, SIZE: heads.size}, heads.key)

    compared = [by_group(query), *(by_group(h) for h in others)]
    named_keys = ctx.shift(keys.factors, {0: GROUP, 1: SIZE})
    compared.append(Operand(named_keys, {GROUP: groups, SIZE: keys.size}, keys.key))
    scores = Operand(ctx.contract(compared, (SIZE,)), sizes, query.key)
    named_values = ctx.shift(values.factors, {0: GROUP, 1: VALUE})
    read = Operand(named_values, {GROUP: groups, VALUE: values.size}, values.key)
    result = ctx.shift(ctx.align([scores, read]), {GROUP: 0, SHARE: 1, VALUE: 2})
    return ctx.reshape(result, (groups, share, values.size), (query.count, values.size))


def mask_heads(ctx: LabelContext, key: str, count: int) -> list[Heads]:
    """See a bias of scores [batch heads steps steps], whose heads may be one for all."""
    shape = ctx.shape(key) if key else None
    if not shape or len(shape) != 4:
        return []
    kept = ctx.release(ctx.factors(key), (0, 2, 3), STEPS)
    if shape[1] != count:
        return []
    return [Heads(ctx.shift(kept, {1: 0}), count, 1, key)]


def set_flat(ctx: LabelContext, key: str, result: Factors, count: int, size: int) -> None:
    """Set an output [batch steps heads*size] from labels over [heads elements]."""
    flat = ctx.reshape(result, (count, size), (count * size,))
    ctx.set(key, ctx.shift(flat, {0: len(ctx.shape(key) or ()) - 1}))


# ---- MultiHeadAttention ------------------------------------------------------------------------


@rule(MULTI, DECODER, domain=MICROSOFT)
def multi_head(ctx: LabelContext, node: Node) -> None:
    """Heads leave whole; sizes of values shrink evenly where there is no cache."""
    at = _places(node)
    count = int(node.attribute("num_heads"))
    if any(node.input(p) for p in at.others) or node.output(3):
        ctx.opaque(node, "a cache that is shared, or scores as a result")
        return
    found = _projected(ctx, node, count)
    if found is None:
        ctx.opaque(node, "packed projections in a layout that is not followed")
        return
    query, keys, values = found
    bias = node.input(at.bias)
    caches = [node.input(p) for p in at.past]
    cached = any((*caches, node.output(1), node.output(2)))
    if bias:
        parts = _bias_parts(ctx, bias, (query, keys, values))
        query, keys, values = (
            replace(h, factors=ctx.align([h.operand, Operand(p, {0: h.count, 1: h.size}, bias)]))
            for h, p in zip((query, keys, values), parts, strict=True)
        )
    if bias:
        query, keys = whole(ctx, query), whole(ctx, keys)
    else:
        ctx.consumes(node, 0, (len(ctx.shape(node.inputs[0]) or ()) - 1,))
    crossed = len(ctx.shape(keys.key) or ()) == 4
    if cached or crossed or node.op == DECODER:
        query, keys = whole(ctx, query), whole(ctx, keys)
        values = whole(ctx, values, "as wide as keys")
    keys = meet_cache(ctx, keys, caches[0], node.output(1))
    values = meet_cache(ctx, values, caches[1], node.output(2))
    result = attend(ctx, query, keys, values, mask_heads(ctx, node.input(at.mask), count))
    set_flat(ctx, node.outputs[0], result, count, values.size)


@dataclass(frozen=True)
class _Places:
    """Positions of optional inputs."""

    bias: int
    mask: int
    past: tuple[int, int]
    others: tuple[int, ...] = (8, 9)


def _places(node: Node) -> _Places:
    return _Places(10, 4, (5, 6)) if node.op == DECODER else _Places(3, 5, (6, 7))


def _projected(ctx: LabelContext, node: Node, count: int) -> tuple[Heads, Heads, Heads] | None:
    """See queries, keys and values, which may share an input of five axes."""
    shapes_of = [ctx.shape(k) if k else None for k in (*node.inputs[:3], "", "")[:3]]
    first, second, third = shapes_of
    if first is not None and len(first) == 5:  # [batch steps heads 3 size]
        packed = _packed(ctx, node.inputs[0])
        return packed, packed, packed
    if first is None or len(first) != 3 or first[2] % count:
        return None
    query = heads_of(ctx, node.inputs[0], count)
    if second is not None and len(second) == 5:  # [batch steps heads 2 size]
        packed = _packed(ctx, node.inputs[1])
        return whole(ctx, query), packed, packed
    if second is None or third is None or len(second) != len(third) or len(second) not in (3, 4):
        return None
    return query, heads_of(ctx, node.inputs[1], count), heads_of(ctx, node.inputs[2], count)


def _packed(ctx: LabelContext, key: str) -> Heads:
    shape = ctx.shape(key) or ()
    kept = ctx.release(ctx.factors(key), (0, 1, 3, 4), "packed with queries or keys")
    return Heads(ctx.shift(kept, {2: 0}), shape[2], shape[4], key)


def _bias_parts(ctx: LabelContext, key: str, all_heads: tuple[Heads, ...]) -> list[Factors]:
    """Cut a bias [queries keys values] into its parts, each over [heads elements]."""
    factors, start, parts = ctx.factors(key), 0, []
    for heads in all_heads:
        stop = start + heads.count * heads.size
        part = ctx.take(factors, 0, np.arange(start, stop))
        parts.append(flat_heads(ctx, part, stop - start, heads.count, key).factors)
        start = stop
    return parts


@shapes(MULTI, DECODER, domain=MICROSOFT)
def multi_head_shape(found: Shapes, node: Node) -> Inferred:
    """As many steps as queries, as wide as the values; caches grow by the new steps."""
    kind = element_type(found, node.inputs[0])
    query = known(found, node.inputs[0])
    count = int(node.attribute("num_heads"))
    if len(query) == 5:
        return [(kind, (*query[:2], query[2] * query[4]))]
    key = known(found, node.inputs[1])
    if len(key) == 5:
        return [(kind, (*query[:2], key[2] * key[4]))]
    value = known(found, node.inputs[2])
    width = value[2] if len(value) == 3 else value[1] * value[3]
    past = node.input(_places(node).past[0])
    steps = (key[1] if len(key) == 3 else key[2]) + (known(found, past)[2] if past else 0)
    if node.op == DECODER or node.input(8):  # the caches are of one length
        steps = known(found, past)[2] if past else steps
    cache = (kind, (query[0], count, steps, query[2] // count))
    return [(kind, (*query[:2], width)), cache, (kind, (*cache[1][:3], width // count))]


@update(MULTI, DECODER, domain=MICROSOFT)
def multi_head_counts(cuts: Cuts, node: Node) -> Change:
    """Write the number of heads; the scale stays that of the original head size."""
    count = int(node.attribute("num_heads"))
    query = node.inputs[0]
    if len(cuts.old_shape(query)) == 5:
        return Change(attributes={"num_heads": cuts.size(query, 2)})
    left = heads_left(cuts, query, count)
    attributes: dict[str, float] = {"num_heads": left}
    size = cuts.old_shape(query)[2] // count
    if cuts.size(query, 2) // left != size and not node.attribute("scale", 0.0):
        attributes["scale"] = 1.0 / math.sqrt(size)
    return Change(attributes=attributes)


@macs(MULTI, DECODER, SHARED, domain=MICROSOFT)
def attention_macs(node: Node, rank: Rank) -> list[Term]:
    """Count the scores, and their product with the values."""
    if rank(node.inputs[0]) != 3 or not node.input(1) or rank(node.inputs[1]) not in (3, 4):
        return []
    step = (node.inputs[1], 1 if rank(node.inputs[1]) == 3 else 2)
    sides = (node.inputs[0], node.outputs[0])
    return [Term(node, (*axes_from(rank, side), step)) for side in sides]


# ---- GroupQueryAttention -----------------------------------------------------------------------


@rule(SHARED, domain=MICROSOFT)
def grouped_query(ctx: LabelContext, node: Node) -> None:
    """Whole heads leave, query heads with their key-value head."""
    count, shared = int(node.attribute("num_heads")), int(node.attribute("kv_num_heads"))
    extra = [node.input(p) for p in (12, 13, 14, 15)] + [node.output(3)]
    if any(extra) or count % shared:
        ctx.opaque(node, "quantised caches, normalised heads, or scores as a result")
        return
    if node.input(1):
        counts = (count, shared, shared)
        parts = [heads_of(ctx, k, n) for k, n in zip(node.inputs[:3], counts, strict=True)]
    else:
        parts = _unpacked(ctx, node.inputs[0], (count, shared, shared))
    query, keys, values = (whole(ctx, h, "heads are of one size") for h in parts)
    keys = meet_cache(ctx, keys, node.input(3), node.output(1))
    values = meet_cache(ctx, values, node.input(4), node.output(2))
    others = mask_heads(ctx, node.input(10), count)
    if node.input(11):
        others.append(Heads(ctx.factors(node.inputs[11]), count, 1, node.inputs[11]))
    result = attend(ctx, query, keys, values, others)
    set_flat(ctx, node.outputs[0], result, count, values.size)


def _unpacked(ctx: LabelContext, key: str, counts: Sequence[int]) -> list[Heads]:
    """Cut [batch steps queries + keys + values] into heads of one size."""
    width = (ctx.shape(key) or ())[2]
    size = width // sum(counts)
    flat = ctx.shift(ctx.release(ctx.factors(key), (0, 1), STEPS), {2: 0})
    parts, start = [], 0
    for heads in counts:
        stop = start + heads * size
        part = ctx.take(flat, 0, np.arange(start, stop))
        parts.append(flat_heads(ctx, part, stop - start, heads, key))
        start = stop
    return parts


@shapes(SHARED, domain=MICROSOFT)
def grouped_query_shape(found: Shapes, node: Node) -> Inferred:
    """As wide as the queries; caches are as long as all steps, or as they were."""
    query = known(found, node.inputs[0])
    kind = element_type(found, node.inputs[0])
    count, shared = int(node.attribute("num_heads")), int(node.attribute("kv_num_heads"))
    size = query[2] // (count if node.input(1) else count + 2 * shared)
    result = (kind, (*query[:2], count * size))
    total = found.known.get(node.inputs[6])
    steps = known(found, node.inputs[3])[2] if node.input(3) else 0
    if total is not None and total.size == 1:
        steps = max(steps, int(total.item()))
    elif node.output(1):
        return [result]
    cache = (kind, (query[0], shared, steps, size))
    return [result, cache, cache]


@update(SHARED, domain=MICROSOFT)
def grouped_query_counts(cuts: Cuts, node: Node) -> Change:
    """Write the numbers of heads."""
    count, shared = int(node.attribute("num_heads")), int(node.attribute("kv_num_heads"))
    result = heads_left(cuts, node.outputs[0], count)
    return Change(attributes={"num_heads": result, "kv_num_heads": result * shared // count})
