"""Blocks of attention, in the shapes that different exporters and networks give it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from onnxprune.testing.blocks.builder import Builder, Tensor
from onnxprune.testing.blocks.layers import add, linear, transpose
from onnxprune.testing.blocks.registry import block
from onnxprune.testing.blocks.shaping import At, Size, reshape, shape_vector, size_of
from onnxprune.testing.blocks.versioned import cut, softmax, split, squeeze, unsqueeze
from onnxprune.testing.blocks.weights import gain, plain


@dataclass(frozen=True)
class Heads:
    """Sizes of an attention: query heads, key-value heads, elements of a head."""

    queries: int
    keys: int
    each: int


def head_sizes(b: Builder) -> Heads:
    """Choose heads of which none is shared."""
    return Heads(heads := b.pick([2, 2, 3, 4]), heads, b.pick([2, 4, 4]))


def to_heads(b: Builder, x: Tensor, heads: int) -> Tensor:
    """Turn `[n l (h d)]` into `[n h l d]`."""
    each = x.channels // heads
    rest = Size((At(2),), over=heads) if b.chance(0.3) else each
    viewed = reshape(b, x, [At(0), At(1), heads, rest])
    return transpose(b, viewed, [0, 2, 1, 3])


def from_heads(b: Builder, x: Tensor) -> Tensor:
    """Turn `[n h l d]` into `[n l (h d)]`."""
    turned = transpose(b, x, [0, 2, 1, 3])
    return reshape(b, turned, [At(0), At(1), Size((At(2), At(3)))], "seq")


def _scaled(b: Builder, q: Tensor, scores: Tensor) -> Tensor:
    """Divide scores by the root of the head size, as a number or computed from a shape."""
    each = q.shape[-1]
    assert isinstance(each, int)
    form = b.pick(["mul", "div", "shape", "none"])
    if form == "mul":
        return b.same("Mul", scores, b.floats(each**-0.5))
    if form == "div":
        return b.same("Div", scores, b.floats(math.sqrt(each)))
    if form == "shape":
        size = b.op("Cast", size_of(b, q, len(q.shape) - 1), to=b.elem_type)
        return b.same("Div", scores, b.op("Sqrt", size))
    return scores


def _masked(b: Builder, scores: Tensor, x: Tensor) -> Tensor:
    """Hide later positions by an additive mask or by a choice."""
    form = b.pick(["none", "add", "where"])
    if form == "none":
        return scores
    seen = np.tril(np.ones((x.most_positions, x.most_positions), dtype=bool))[None, None]
    length = unsqueeze(b, size_of(b, x, 1), [0])
    table = b.floats(np.where(seen, 0.0, -1e4)) if form == "add" else b.constant(seen)
    if b.opset < 10:
        size = scores.shape[-1]
        if not isinstance(size, int):
            return scores
        part = cut(b, cut(b, table, 2, slice(0, size)), 3, slice(0, size))
    else:
        rows = b.op("Slice", table, b.ints([0]), length, b.ints([2]))
        part = b.op("Slice", rows, b.ints([0]), length, b.ints([3]), b.ints([1]))
    if form == "add":
        return b.same("Add", scores, part)
    return scores.named(b.op("Where", part, scores, b.floats(-1e4)))


def attend(b: Builder, q: Tensor, k: Tensor, v: Tensor, *, causal: Tensor | None = None) -> Tensor:
    """Apply attention to heads `[n h l d]`."""
    scores = Tensor("", (*q.shape[:3], k.shape[2]), "raw", q.rms)
    if b.opset >= 12 and b.setting.dtype != np.float16 and b.chance(0.15):
        name = b.op("Einsum", q, k, equation="bhid,bhjd->bhij")
    elif b.chance(0.2):
        root = b.floats(float(q.shape[-1]) ** -0.25)
        keys = b.op("Mul", transpose(b, k, [0, 1, 3, 2]), root)
        name = b.op("MatMul", b.op("Mul", q, root), keys)
    else:
        name = b.op("MatMul", q, transpose(b, k, [0, 1, 3, 2]))
    scores = _scaled(b, q, scores.named(name))
    if causal is not None:
        scores = _masked(b, scores, causal)
    weights = softmax(b, scores, 3)
    return Tensor(b.op("MatMul", weights, v), (*q.shape[:3], v.shape[3]), "raw", v.rms)


def finish(b: Builder, context: Tensor, x: Tensor) -> Tensor:
    """Merge the heads, project, and mostly add the input."""
    out = linear(b, from_heads(b, context), x.channels)
    return add(b, out, x) if b.chance(0.7) else out


@block("seq")
def attention(b: Builder, x: Tensor) -> Tensor:
    """Self-attention with separate projections."""
    heads = head_sizes(b)
    width = heads.queries * heads.each
    parts = [to_heads(b, linear(b, x, width), heads.queries) for _ in range(3)]
    return finish(b, attend(b, *parts, causal=x), x)


@block("seq")
def attention_fused(b: Builder, x: Tensor) -> Tensor:
    """Self-attention whose queries, keys and values come from one projection."""
    heads = head_sizes(b)
    h, d = heads.queries, heads.each
    both = linear(b, x, 3 * h * d)
    form = b.pick(["split", "gather", "squeeze", "interleaved"])
    if form == "split":
        names = split(b, both, [h * d] * 3, 2)
        parts = [to_heads(b, both.resized(name, h * d), h) for name in names]
    elif form == "gather":
        viewed = reshape(b, both, [At(0), At(1), 3, h, d])
        turned = transpose(b, viewed, [2, 0, 3, 1, 4])
        shape = turned.shape[1:]
        parts = [
            Tensor(b.op("Gather", turned, b.ints(i), axis=0), shape, "raw", x.rms) for i in range(3)
        ]
    elif form == "squeeze":
        viewed = reshape(b, both, [At(0), At(1), 3, h, d])
        shape = (*viewed.shape[:2], h, d)
        names = [squeeze(b, name, [2]) for name in split(b, viewed, [1, 1, 1], 2)]
        parts = [transpose(b, Tensor(n, shape, "raw", x.rms), [0, 2, 1, 3]) for n in names]
    else:
        viewed = reshape(b, both, [At(0), At(1), h, 3 * d])
        turned = transpose(b, viewed, [0, 2, 1, 3])
        names = split(b, turned, [d, d, d], 3)
        parts = [Tensor(name, (*turned.shape[:3], d), "raw", x.rms) for name in names]
    return finish(b, attend(b, *parts, causal=x), x)


def _repeat_heads(b: Builder, x: Tensor, times: int) -> Tensor:
    """Repeat each key-value head by Unsqueeze, Expand and Reshape."""
    n, heads, length, each = x.shape
    assert isinstance(heads, int)
    wide = unsqueeze(b, x, [2])
    if b.chance(0.5):
        wanted = b.ints([1, 1, times, 1, 1])
    else:
        wanted = shape_vector(b, x, [At(0), At(1), times, At(2), At(3)])
    expanded = Tensor(b.op("Expand", wide, wanted), (n, heads, times, length, each), "raw", x.rms)
    return reshape(b, expanded, [At(0), Size((At(1), At(2))), At(3), At(4)])


@block("seq")
def attention_grouped_queries(b: Builder, x: Tensor) -> Tensor:
    """Several query heads share one key-value head."""
    times, keys, each = b.pick([2, 3]), b.pick([1, 2]), b.pick([2, 4])
    q = to_heads(b, linear(b, x, times * keys * each), times * keys)
    k, v = (to_heads(b, linear(b, x, keys * each), keys) for _ in range(2))
    if keys > 1 or b.chance(0.5):
        k, v = _repeat_heads(b, k, times), _repeat_heads(b, v, times)
    return finish(b, attend(b, q, k, v, causal=x), x)


def _rotate(b: Builder, x: Tensor, tables: tuple[str, str]) -> Tensor:
    """Rotate pairs of elements by position: halves, or neighbours."""
    each = x.shape[3]
    assert isinstance(each, int)
    if b.opset < 10 or b.chance(0.6):
        low = cut(b, x, 3, slice(0, each // 2))
        high = cut(b, x, 3, slice(each // 2, None))
        other = b.op("Concat", b.op("Neg", high), low, axis=3)
    else:
        even = cut(b, x, 3, slice(0, None, 2))
        odd = cut(b, x, 3, slice(1, None, 2))
        pairs = b.op("Concat", unsqueeze(b, b.op("Neg", odd), [4]), unsqueeze(b, even, [4]), axis=4)
        paired = Tensor(pairs, (*x.shape[:3], each // 2, 2))
        other = reshape(b, paired, [At(i, x) for i in range(4)]).name
    cosine, sine = tables
    return x.named(b.op("Add", b.op("Mul", x, cosine), b.op("Mul", other, sine)))


@block("seq")
def attention_rotary(b: Builder, x: Tensor) -> Tensor:
    """Queries and keys are rotated by their position before they meet."""
    heads = head_sizes(b)
    width = heads.queries * heads.each
    q, k, v = (to_heads(b, linear(b, x, width), heads.queries) for _ in range(3))
    angles = np.outer(np.arange(x.most_positions), np.tile(0.5 ** np.arange(heads.each // 2), 2))
    length = x.shape[1]
    if b.opset >= 10:
        end = unsqueeze(b, size_of(b, x, 1), [0])
        stored = [b.floats(np.cos(angles)), b.floats(np.sin(angles))]
        cosine, sine = (b.op("Slice", s, b.ints([0]), end, b.ints([0])) for s in stored)
    elif isinstance(length, int):
        cosine, sine = b.floats(np.cos(angles[:length])), b.floats(np.sin(angles[:length]))
    else:
        cosine, sine = b.floats(np.cos(angles[1])), b.floats(np.sin(angles[1]))
    q, k = _rotate(b, q, (cosine, sine)), _rotate(b, k, (cosine, sine))
    return finish(b, attend(b, q, k, v, causal=x), x)


@block("seq", since=17)
def attention_normalised(b: Builder, x: Tensor) -> Tensor:
    """Queries and keys are normalised within each head."""
    heads = head_sizes(b)
    width = heads.queries * heads.each
    q, k, v = (to_heads(b, linear(b, x, width), heads.queries) for _ in range(3))
    q = b.same("LayerNormalization", q, gain(b, heads.each), axis=-1)
    k = b.same("LayerNormalization", k, gain(b, heads.each), axis=-1)
    return finish(b, attend(b, q, k, v), x)


@block("seq")
def attention_cross(b: Builder, x: Tensor) -> Tensor:
    """Queries from one sequence; keys and values from another, or from learned ones."""
    heads = head_sizes(b)
    width = heads.queries * heads.each
    others = [t for t in b.live if t.layout == "seq" and t.shape[0] == x.shape[0]]
    memory = b.pick(others) if others and not b.depth else x
    q = to_heads(b, linear(b, x, width), heads.queries)
    if b.chance(0.3):
        slots = [plain(b, b.rng.normal(0.0, 1.0, (1, heads.queries, 3, heads.each))) for _ in "kv"]
        k, v = (Tensor(slot, (1, heads.queries, 3, heads.each)) for slot in slots)
    else:
        k, v = (to_heads(b, linear(b, memory, width), heads.queries) for _ in range(2))
    return finish(b, attend(b, q, k, v), x)


@block("seq")
def attention_linear(b: Builder, x: Tensor) -> Tensor:
    """Attention without a softmax over positions: keys meet values first."""
    heads = head_sizes(b)
    width = heads.queries * heads.each
    q, k, v = (to_heads(b, linear(b, x, width), heads.queries) for _ in range(3))
    keys = transpose(b, b.same("Tanh", k), [0, 1, 3, 2])
    state = b.op("MatMul", keys, v)
    context = b.op("Tanh", b.op("MatMul", b.op("Sigmoid", q), state))
    return finish(b, q.named(context), x)
