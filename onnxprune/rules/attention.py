"""Attention: heads leave whole, sizes inside heads evenly, query heads with their key head."""

from __future__ import annotations

import math
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

BATCH, STEP, GROUP, SHARE, KEY, SIZE, VALUE = range(7)
"""Common axes: a query head is one of the SHARE heads that use key-value head GROUP."""

STEPS = "steps stay"


def head_counts(ctx: LabelContext | Cuts, node: Node) -> tuple[int, int]:
    """Return the numbers of query heads and of key-value heads."""
    query, key = ctx.old_shape(node.inputs[0]) or (), ctx.old_shape(node.inputs[1]) or ()
    if len(query) == 4:
        return query[1], key[1]
    return int(node.attribute("q_num_heads", 0)), int(node.attribute("kv_num_heads", 0))


def split_heads(ctx: LabelContext, key: str, heads: int) -> tuple[Factors, tuple[int, ...]]:
    """View a value as [batch steps heads size], from three axes or [batch heads steps size]."""
    shape, factors = ctx.shape(key) or (), ctx.factors(key)
    if len(shape) == 4:
        order = (0, 2, 1, 3)
        view = tuple(shape[a] for a in order)
        return ctx.permute(factors, order), view
    view = (*shape[:2], heads, shape[2] // heads)
    return ctx.reshape(factors, shape, view), view


def merge_heads(ctx: LabelContext, key: str, factors: Factors, view: tuple[int, ...]) -> None:
    """Set an output from labels over [batch steps heads size]."""
    shape = ctx.shape(key) or ()
    if len(shape) == 4:
        ctx.set(key, ctx.permute(factors, (0, 2, 1, 3)))
    else:
        ctx.set(key, ctx.reshape(factors, view, shape))


@rule("Attention")
def attention(ctx: LabelContext, node: Node) -> None:
    """Whole heads leave with their key-value head; head sizes shrink evenly."""
    heads, shared = head_counts(ctx, node)
    if not shared or heads % shared:
        ctx.opaque(node, "heads do not divide by the key-value heads")
        return
    query, (batch, steps, _, size) = split_heads(ctx, node.inputs[0], heads)
    if _ordered(node):
        query = ctx.release(query, (1,), STEPS)
    inner = (batch, steps, shared, heads // shared, size)
    query = ctx.reshape(query, (batch, steps, heads, size), inner)
    query = ctx.shift(query, {0: BATCH, 1: STEP, 2: GROUP, 3: SHARE, 4: SIZE})
    keys, values = (_cached(ctx, node, position, shared) for position in (1, 2))
    sizes = {BATCH: batch, STEP: steps, GROUP: shared, SHARE: heads // shared, SIZE: size}
    ctx.consumes(node, 0, (len(ctx.shape(node.inputs[0]) or ()) - 1,))
    scores = ctx.contract(
        [
            Operand(query, sizes, node.inputs[0]),
            Operand(ctx.shift(keys, {0: BATCH, 2: GROUP, 3: SIZE}),
                    {BATCH: batch, GROUP: shared, SIZE: size}, node.inputs[1]),
        ],
        (SIZE,),
    )  # fmt: skip
    del sizes[SIZE]
    scores = _masked(ctx, node, Operand(scores, sizes, node.inputs[0]))
    width = (ctx.shape(node.inputs[2]) or ())[-1]
    width = width if len(ctx.shape(node.inputs[2]) or ()) == 4 else width // shared
    result = ctx.align(
        [
            Operand(scores, sizes, node.inputs[0]),
            Operand(ctx.shift(values, {0: BATCH, 2: GROUP, 3: VALUE}),
                    {BATCH: batch, GROUP: shared, VALUE: width}, node.inputs[2]),
        ]
    )  # fmt: skip
    names = {BATCH: 0, STEP: 1, GROUP: 2, SHARE: 3, VALUE: 4}
    flat = ctx.reshape(ctx.shift(result, names), (*inner[:4], width), (batch, steps, heads, width))
    merge_heads(ctx, node.outputs[0], flat, (batch, steps, heads, width))
    if node.output(3):
        shown = ctx.reshape(ctx.shift(scores, names), (*inner[:4], 1), (batch, steps, heads, 1))
        ctx.set(node.outputs[3], ctx.permute(shown, (0, 2, 1, 3)))


def _ordered(node: Node) -> bool:
    """Tell whether the position of a query decides what it sees."""
    windows = (node.attribute(n, -1) for n in ("left_window_size", "right_window_size"))
    return bool(node.attribute("is_causal", 0)) or any(w >= 0 for w in windows)


def _cached(ctx: LabelContext, node: Node, position: int, heads: int) -> Factors:
    """Let keys or values meet their cache, and set what is handed on of both."""
    key = node.inputs[position]
    factors, view = split_heads(ctx, key, heads)
    sizes = {0: view[0], 2: heads, 3: view[3]}
    factors = ctx.release(factors, (1,), STEPS)
    past = node.input(position + 3)
    if past:
        cache = ctx.release(ctx.permute(ctx.factors(past), (0, 2, 1, 3)), (1,), STEPS)
        factors = ctx.align([Operand(factors, sizes, key), Operand(cache, sizes, past)])
    if node.output(position):
        ctx.set(node.outputs[position], ctx.permute(factors, (0, 2, 1, 3)))
    return factors


def _masked(ctx: LabelContext, node: Node, scores: Operand) -> Factors:
    """Let scores meet a mask that may have batch, head and query axes, and lengths by batch."""
    operands = [scores]
    key = node.input(3)
    shape = ctx.shape(key) if key else None
    if shape:
        rank = len(shape)
        mask = ctx.release(ctx.factors(key), (rank - 1,), STEPS)
        mask = tuple(f.rename(a + 4 - rank for a in f.axes) for f in mask)
        full = (1,) * (4 - rank) + shape
        shared = scores.sizes[GROUP]
        split = (shared, full[1] // shared) if full[1] > 1 else (1, 1)
        view = (full[0], *split, full[2])
        mask = ctx.shift(ctx.reshape(mask, full[:3], view), {0: BATCH, 1: GROUP, 2: SHARE, 3: STEP})
        sizes = dict(zip((BATCH, GROUP, SHARE, STEP), view, strict=True))
        operands.append(Operand(mask, sizes, key))
    if node.input(6):
        lengths = ctx.shift(ctx.factors(node.inputs[6]), {0: BATCH})
        operands.append(Operand(lengths, {BATCH: scores.sizes[BATCH]}, node.inputs[6]))
    return ctx.align(operands)


def heads_left(cuts: Cuts, key: str, heads: int) -> int:
    """Return how many heads of a value of three axes are left."""
    kept = cuts.keep(key, 2).reshape(heads, -1)
    return int(np.count_nonzero(kept.any(axis=1)))


@update("Attention")
def attention_heads(cuts: Cuts, node: Node) -> Change:
    """Write the numbers of heads; the scale stays that of the original head size."""
    attributes: dict[str, int | float] = {}
    heads, shared = head_counts(cuts, node)
    query = cuts.old_shape(node.inputs[0])
    size, left = query[-1], cuts.shape(node.inputs[0])[-1]
    if len(query) == 3:
        attributes["q_num_heads"] = heads_left(cuts, node.inputs[0], heads)
        attributes["kv_num_heads"] = heads_left(cuts, node.inputs[1], shared)
        size, left = size // heads, left // int(attributes["q_num_heads"])
    if size != left and node.attribute("scale") is None:
        attributes["scale"] = 1.0 / math.sqrt(size)
    return Change(attributes=attributes)
