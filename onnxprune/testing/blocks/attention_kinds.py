"""Blocks of attention over pixels, and of the operators made for attention."""

from __future__ import annotations

import math

import numpy as np

from onnxprune.testing.blocks.attention import attend, finish, head_sizes, to_heads
from onnxprune.testing.blocks.builder import Builder, Tensor
from onnxprune.testing.blocks.layers import add, linear, project, transpose
from onnxprune.testing.blocks.registry import block
from onnxprune.testing.blocks.shaping import At, Size, reshape, shape_vector, size_of
from onnxprune.testing.blocks.versioned import softmax, split, unsqueeze


@block("plane", floats="ef")
def attention_of_pixels(b: Builder, x: Tensor) -> Tensor:
    """Attention over the pixels of a plane with 1x1 convolutions, as a U-Net has."""
    heads = b.pick([1, 2, 3])
    each = b.pick([2, 4])
    rest = Size((At(2), At(3)))
    if b.chance(0.5):
        parts = [
            reshape(b, project(b, x, heads * each), [At(0), heads, each, rest]) for _ in range(3)
        ]
    else:
        both = project(b, x, 3 * heads * each)
        names = split(b, both, [heads * each] * 3, 1)
        parts = [
            reshape(b, both.resized(name, heads * each), [At(0), heads, each, rest])
            for name in names
        ]
    q, k, v = parts
    pixels = math.prod(x.space)
    raw = b.op("MatMul", transpose(b, q, [0, 1, 3, 2]), k)
    scores = b.same("Mul", Tensor(raw, (x.shape[0], heads, pixels, pixels)), b.floats(each**-0.5))
    flipped = b.op("Transpose", softmax(b, scores, 3), perm=[0, 1, 3, 2])
    context = v.named(b.op("MatMul", v, flipped))
    merged = reshape(b, context, [At(0), Size((At(1), At(2))), *x.space], "plane")
    return add(b, project(b, merged, x.channels), x)


@block("seq", since=23, floats="f")
def attention_operator(b: Builder, x: Tensor) -> Tensor:
    """The Attention operator on flat or on separated heads, with shared key-value heads."""
    times, keys, each = b.pick([1, 1, 2]), b.pick([1, 2]), b.pick([2, 4])
    heads = times * keys
    q = linear(b, x, heads * each)
    k, v = (linear(b, x, keys * each) for _ in range(2))
    causal = b.pick([0, 1])
    if b.chance(0.5):
        attributes = {"q_num_heads": heads, "kv_num_heads": keys, "is_causal": causal}
        out = q.named(b.op("Attention", q, k, v, **attributes))
        return add(b, linear(b, out, x.channels), x)
    parts = [to_heads(b, q, heads), to_heads(b, k, keys), to_heads(b, v, keys)]
    return finish(b, parts[0].named(b.op("Attention", *parts, is_causal=causal)), x)


@block("seq", since=23, floats="f")
def rotary_operator(b: Builder, x: Tensor) -> Tensor:
    """RotaryEmbedding on queries and keys before attention."""
    heads = head_sizes(b)
    width = heads.queries * heads.each
    q, k, v = (linear(b, x, width) for _ in range(3))
    angles = np.outer(np.arange(x.most_positions), 0.5 ** np.arange(heads.each // 2))
    end = unsqueeze(b, size_of(b, x, 1), [0])
    tables = []
    for stored in (np.cos(angles)[None], np.sin(angles)[None]):
        row = b.op("Slice", b.floats(stored), b.ints([0]), end, b.ints([1]))
        wanted = shape_vector(b, x, [At(0), 1, 1])
        tables.append(b.op("Expand", row, wanted))
    rotated = [b.same("RotaryEmbedding", t, *tables, num_heads=heads.queries) for t in (q, k)]
    parts = [to_heads(b, t, heads.queries) for t in (*rotated, v)]
    return finish(b, attend(b, *parts), x)
