"""Blocks that join, split and select channels."""

from __future__ import annotations

import numpy as np

from onnxprune.testing.blocks.builder import ANY, MAPS, Builder, Tensor
from onnxprune.testing.blocks.layers import activate, add, fit, nonlinear, project, slim
from onnxprune.testing.blocks.registry import block
from onnxprune.testing.blocks.versioned import cut, pad, split, unsqueeze
from onnxprune.testing.blocks.weights import plain


def join(b: Builder, *parts: Tensor) -> Tensor:
    """Concatenate along the channels."""
    axis = parts[0].axis
    if b.opset >= 11 and b.chance(0.3):
        axis -= len(parts[0].shape)
    name = b.op("Concat", *parts, axis=axis)
    return parts[0].resized(name, sum(part.channels for part in parts))


def _companion(b: Builder, x: Tensor) -> Tensor:
    """Return a live value that differs from `x` in its channels at most."""
    for other in reversed(b.live):
        same_rank = other.layout == x.layout and other.name != x.name
        if same_rank and not b.depth and other.channels <= 24:
            shape = other.resized("", x.channels).shape
            if shape == x.shape and b.chance(0.7):
                return other
    return nonlinear(b, project(b, x, b.width()))


@block(*ANY)
def concat_two(b: Builder, x: Tensor) -> Tensor:
    """Join with another value, in either order."""
    x = slim(b, x)
    other = _companion(b, x)
    return join(b, x, other) if b.chance(0.5) else join(b, other, x)


@block(*ANY)
def concat_three(b: Builder, x: Tensor) -> Tensor:
    """Join with two others, one of which may be a constant or `x` again."""
    x = slim(b, x, 12)
    return join(b, x, project(b, x, b.between(1, 6)), slim(b, _companion(b, x), 12))


@block(*ANY)
def concat_self(b: Builder, x: Tensor) -> Tensor:
    """Join a value with itself, or with a function of itself."""
    x = slim(b, x, 12)
    copies = [x, x] if b.chance(0.6) else [x, b.same("Neg", x)]
    if b.chance(0.2):
        copies.append(x)
    return join(b, *copies)


@block(*ANY)
def concat_input(b: Builder, x: Tensor) -> Tensor:
    """Join a graph input with what is computed from it, and add that to `x` where it fits."""
    entries = [entry for entry in b.entries if entry.layout == x.layout]
    entry = b.pick(entries) if entries and not b.depth else x
    inner = nonlinear(b, project(b, entry, b.width()))
    joined = join(b, entry, inner) if b.chance(0.5) else join(b, inner, entry)
    result = project(b, slim(b, joined, 24), x.channels)
    return add(b, x, result) if result.shape == x.shape and b.chance(0.5) else result


@block(*ANY)
def concat_constant(b: Builder, x: Tensor) -> Tensor:
    """Join with constant channels, as coordinate convolutions do."""
    x = slim(b, x)
    if not all(isinstance(size, int) for size in x.shape):
        return join(b, x, b.same("Mul", project(b, x, 1), b.floats(0.0)))
    sizes = [size for size in x.shape if isinstance(size, int)]
    sizes[x.axis] = 2
    constant = plain(b, b.rng.uniform(-1.0, 1.0, sizes))
    return join(b, x, Tensor(constant, tuple(sizes), x.layout))


@block(*ANY)
def split_equal(b: Builder, x: Tensor) -> Tensor:
    """Split evenly, treat the parts differently, and join or add them again."""
    count = b.pick([2, 2, 3])
    x = fit(b, x, count)
    size = x.channels // count
    parts = [x.resized(p, size) for p in split(b, x, [size] * count, x.axis)]
    parts[0] = activate(b, project(b, parts[0], size))
    if b.chance(0.3):
        return add(b, parts[0], parts[1])
    return join(b, *(reversed(parts) if b.chance(0.3) else parts))


@block(*ANY)
def split_uneven(b: Builder, x: Tensor) -> Tensor:
    """Split unevenly; one part passes, one is transformed, one may stay unused."""
    if x.channels < 3:
        x = project(b, x, 6)
    first = b.between(1, x.channels - 2)
    second = b.between(1, x.channels - first - 1)
    sizes = [first, second, x.channels - first - second]
    axis = x.axis if b.opset < 11 or b.chance(0.6) else x.axis - len(x.shape)
    parts = [
        x.resized(name, size) for name, size in zip(split(b, x, sizes, axis), sizes, strict=True)
    ]
    parts[1] = nonlinear(b, project(b, parts[1], parts[1].channels))
    return join(b, *(parts if b.chance(0.6) else parts[:2]))


@block(*ANY)
def slice_channels(b: Builder, x: Tensor) -> Tensor:
    """Take a range of the channels, counted from the front or from the back."""
    start = b.between(0, x.channels - 1)
    end = b.between(start + 1, x.channels)
    low = start - x.channels if b.chance(0.4) else start
    high: int | None = end
    if end == x.channels:
        high = b.pick([None, end])
    elif b.chance(0.4):
        high = end - x.channels
    return x.resized(cut(b, x, x.axis, slice(low, high)), end - start)


@block(*ANY, since=10)
def slice_with_step(b: Builder, x: Tensor) -> Tensor:
    """Take every second or third channel, or all of them backwards."""
    step = b.pick([2, 2, 3, -1])
    if step == -1:
        name = cut(b, x, x.axis, slice(-1, None, -1))
        return x.named(name)
    start = b.between(0, min(step, x.channels) - 1)
    kept = len(range(start, x.channels, step))
    return x.resized(cut(b, x, x.axis, slice(start, None, step)), kept)


@block(*ANY)
def halves_swapped(b: Builder, x: Tensor) -> Tensor:
    """Slice in two and concatenate the other way round."""
    x = fit(b, x, 2)
    half = x.channels // 2
    low = x.resized(cut(b, x, x.axis, slice(0, half)), half)
    high = x.resized(cut(b, x, x.axis, slice(half, None)), half)
    if b.chance(0.5):
        high = b.same("Neg", high)
    return join(b, high, low)


@block(*ANY)
def gather_channels(b: Builder, x: Tensor) -> Tensor:
    """Permute, select or repeat channels by constant indices."""
    form = b.pick(["permute", "select", "repeat", "one"])
    order = b.rng.permutation(x.channels)
    if form == "select":
        order = order[: b.between(1, x.channels)]
    elif form == "repeat":
        order = b.rng.integers(0, x.channels, min(16, x.channels + 2))
    elif form == "one":
        index = b.op("Gather", x, b.ints(int(order[0])), axis=x.axis)
        return x.resized(unsqueeze(b, index, [x.axis]), 1)
    indices = [int(i) for i in order]
    if b.opset >= 11 and b.chance(0.3):
        indices = [i - x.channels for i in indices]
    return x.resized(b.op("Gather", x, b.ints(indices), axis=x.axis), len(indices))


@block(*MAPS, since=11, floats="fd")
def scatter_channels(b: Builder, x: Tensor) -> Tensor:
    """Overwrite some channels at constant places."""
    moved = [1, 0, *range(2, len(x.shape))]
    flipped = b.op("Transpose", x, perm=moved)
    count = b.between(1, x.channels)
    rows = sorted(int(i) for i in b.rng.permutation(x.channels)[:count])
    updates = b.op("Transpose", project(b, x, count), perm=moved)
    where = b.constant(np.asarray(rows, dtype=np.int64).reshape(-1, 1), hint="rows")
    name = b.op("ScatterND", flipped, where, updates)
    return x.named(b.op("Transpose", name, perm=moved))


@block(*MAPS)
def pad_channels(b: Builder, x: Tensor) -> Tensor:
    """Append channels of a constant, as parameter-free shortcuts do."""
    before, after = b.between(0, 2), b.between(1, 3)
    rank = len(x.shape)
    pads = [0] * (2 * rank)
    pads[1], pads[rank + 1] = before, after
    value = b.pick([0.0, 0.0, 0.5])
    padded = x.resized(pad(b, x, pads, mode="constant", value=value), x.channels + before + after)
    if b.chance(0.5):
        return add(b, padded, project(b, x, padded.channels))
    return padded


@block(*ANY)
def tile_channels(b: Builder, x: Tensor) -> Tensor:
    """Repeat all channels two or three times."""
    x = slim(b, x, 8)
    times = b.pick([2, 3])
    repeats = [1] * len(x.shape)
    repeats[x.axis] = times
    return x.resized(b.op("Tile", x, b.ints(repeats)), times * x.channels)


@block(*MAPS)
def expand_channel(b: Builder, x: Tensor) -> Tensor:
    """Expand one channel, or every channel in place, to several."""
    single = project(b, x, 1)
    width = b.width()
    wanted = b.ints([1, width, *(1 for _ in x.space)])
    wide = single.resized(b.op("Expand", single, wanted), width)
    return add(b, wide, project(b, x, width)) if b.chance(0.5) else wide


@block("seq", "plane", since=11, floats="f")
def sequence_of_parts(b: Builder, x: Tensor) -> Tensor:
    """Put values into a sequence and concatenate it, or split into one and take from it."""
    x = slim(b, x, 12)
    if b.chance(0.5):
        other = nonlinear(b, project(b, x, b.width()))
        parts = b.op("SequenceConstruct", x, other)
        name = b.op("ConcatFromSequence", parts, axis=x.axis)
        return x.resized(name, x.channels + other.channels)
    x = fit(b, x, 2)
    half = x.channels // 2
    parts = b.op("SplitToSequence", x, b.ints(half), axis=x.axis)
    return x.resized(b.op("SequenceAt", parts, b.ints(b.pick([0, 1]))), half)


@block(*ANY)
def shuffle_net_unit(b: Builder, x: Tensor) -> Tensor:
    """Transform one half, keep the other, and join them."""
    x = fit(b, x, 2)
    half = x.channels // 2
    kept, changed = (x.resized(p, half) for p in split(b, x, [half, half], x.axis))
    changed = nonlinear(b, project(b, nonlinear(b, project(b, changed, b.width())), half))
    return join(b, kept, changed)


@block(*MAPS)
def cross_stage_partial(b: Builder, x: Tensor) -> Tensor:
    """Split a projection, grow a chain of residuals and join every link (C2f of YOLO)."""
    half = b.between(2, 4)
    entry = activate(b, project(b, x, 2 * half))
    links = [entry.resized(p, half) for p in split(b, entry, [half, half], 1)]
    for _ in range(b.between(1, 2)):
        links.append(add(b, links[-1], nonlinear(b, project(b, links[-1], half))))
    return project(b, join(b, *links), b.width())
