"""Blocks that reshape, transpose and move values about."""

from __future__ import annotations

import math

from onnxprune.testing.blocks.builder import ANY, MAPS, Builder, Tensor
from onnxprune.testing.blocks.layers import (
    add,
    channels_first,
    channels_last,
    evened,
    fit,
    halved,
    linear,
    nonlinear,
    slim,
    transpose,
)
from onnxprune.testing.blocks.registry import block
from onnxprune.testing.blocks.shaping import At, Size, Target, reshape
from onnxprune.testing.blocks.versioned import cut, squeeze, unsqueeze
from onnxprune.testing.blocks.weights import gain, weight


@block(*MAPS)
def flatten_gemm(b: Builder, x: Tensor) -> Tensor:
    """Flatten a map, channels first or last, and multiply with a matrix."""
    x = slim(b, x, 12)
    source = channels_last(b, x) if b.chance(0.3) else x
    total = x.channels * math.prod(x.space)
    if b.chance(0.4):
        flat = Tensor(b.op("Flatten", source, axis=1), (x.shape[0], total), "vec", x.rms)
    else:
        rest = Size(tuple(At(i) for i in range(1, len(source.shape))))
        flat = reshape(b, source, [At(0), rest], "vec")
    return linear(b, flat, b.width())


@block("plane")
def map_to_sequence(b: Builder, x: Tensor) -> Tensor:
    """Make every pixel a position of a sequence."""
    if b.chance(0.5):
        flat = reshape(b, x, [At(0), At(1), Size((At(2), At(3)))])
        return transpose(b, flat, [0, 2, 1], "seq")
    last = channels_last(b, x)
    return reshape(b, last, [At(0), Size((At(1), At(2))), At(3)], "seq")


@block("vec", floats="ef")
def vector_to_map(b: Builder, x: Tensor) -> Tensor:
    """Unfold a vector to a small plane, as generators do."""
    x = linear(b, x, 4 * b.between(2, 6))
    return reshape(b, x, [At(0), Size((At(1),), over=4), 2, 2], "plane")


@block("seq", floats="ef")
def sequence_to_line(b: Builder, x: Tensor) -> Tensor:
    """Transpose, convolve with one position, transpose back."""
    first = transpose(b, x, [0, 2, 1])
    width = b.width()
    kernel = weight(b, (width, x.channels, 1), fan_in=x.channels)
    name = b.op("Conv", first, kernel)
    made = Tensor(name, (x.shape[0], width, x.shape[1]), "raw", x.rms)
    return transpose(b, made, [0, 2, 1], "seq")


@block("plane")
def transpose_chain(b: Builder, x: Tensor) -> Tensor:
    """Permute axes several times and undo it, with an operator in between."""
    order = [int(i) for i in b.rng.permutation(4)]
    second = [int(i) for i in b.rng.permutation(4)]
    moved = nonlinear(b, transpose(b, nonlinear(b, transpose(b, x, order)), second))
    total = [order[i] for i in second]
    return transpose(b, moved, [total.index(i) for i in range(4)], "plane")


@block(*MAPS)
def channel_shuffle(b: Builder, x: Tensor) -> Tensor:
    """Interleave groups of channels by Reshape, Transpose, Reshape."""
    groups = b.pick([2, 2, 3, 4])
    x = fit(b, x, groups)
    rest: list[Target] = [At(i) for i in range(2, len(x.shape))]
    grouped = reshape(b, x, [At(0), groups, Size((At(1),), over=groups), *rest])
    swapped = transpose(b, grouped, [0, 2, 1, *range(3, len(grouped.shape))])
    spatial = [At(i + 1) for i in range(2, len(x.shape))]
    back: list[Target] = [At(0), Size((At(1), At(2))), *spatial]
    return reshape(b, swapped, back, x.layout)


@block("plane", floats="ef")
def pixel_shuffle(b: Builder, x: Tensor) -> Tensor:
    """DepthToSpace in either order, or spelled out."""
    x = halved(b, slim(b, fit(b, x, 4), 16))
    height, width = x.space
    shape = (x.shape[0], x.channels // 4, 2 * height, 2 * width)
    if b.chance(0.4):
        split_up = reshape(b, x, [At(0), Size((At(1),), over=4), 2, 2, At(2), At(3)])
        woven = transpose(b, split_up, [0, 1, 4, 2, 5, 3])
        target: list[Target] = [At(0), At(1), Size((At(2), At(3))), Size((At(4), At(5)))]
        return reshape(b, woven, target, "plane")
    attributes = {"mode": b.pick(["DCR", "CRD"])} if b.opset >= 11 else {}
    return Tensor(b.op("DepthToSpace", x, blocksize=2, **attributes), shape, "plane", x.rms)


@block("plane")
def space_to_depth(b: Builder, x: Tensor) -> Tensor:
    """Move pixels to channels by operator, or by strided slices and a Concat."""
    x = evened(b, x)
    height, width = x.space
    if height % 2 or width % 2:
        return x
    x = slim(b, x, 6)
    space = [height // 2, width // 2]
    if b.opset < 10 or b.chance(0.5):
        name = b.op("SpaceToDepth", x, blocksize=2)
    else:
        corners = [(0, 0), (1, 0), (0, 1), (1, 1)]
        parts = [cut(b, cut(b, x, 2, slice(i, None, 2)), 3, slice(j, None, 2)) for i, j in corners]
        name = b.op("Concat", *parts, axis=1)
    return x.resized(name, 4 * x.channels, space=space)


@block("plane", floats="ef")
def window_partition(b: Builder, x: Tensor) -> Tensor:
    """Cut into windows, mix within them, and put them together again, as Swin does."""
    x = evened(b, x)
    height, width = x.space
    if height % 2 or width % 2:
        return x
    c = x.channels
    last = channels_last(b, x)
    tall, wide = height // 2, width // 2
    cut_up = reshape(b, last, [At(0), tall, 2, wide, 2, At(3)])
    turned = transpose(b, cut_up, [0, 1, 3, 2, 4, 5])
    windows = reshape(b, turned, [Size((At(0), tall, wide)), 4, At(5)])
    mixed = linear(b, windows, c)
    whole = reshape(b, mixed, [At(0, x), tall, wide, 2, 2, At(2)])
    returned = transpose(b, whole, [0, 1, 3, 2, 4, 5])
    flat = reshape(b, returned, [At(0), height, width, At(5)])
    return add(b, channels_first(b, flat, "plane"), x)


@block("plane", "line")
def roll(b: Builder, x: Tensor) -> Tensor:
    """Shift cyclically along space by two slices and a Concat."""
    axis = len(x.shape) - 1
    if x.space[-1] < 2:
        return x
    by = b.between(1, x.space[-1] - 1)
    parts = [cut(b, x, axis, slice(by, None)), cut(b, x, axis, slice(0, by))]
    return x.named(b.op("Concat", *parts, axis=axis))


@block(*ANY)
def squeeze_and_back(b: Builder, x: Tensor) -> Tensor:
    """Insert axes of size one, use them, and remove them."""
    axis = b.between(0, len(x.shape))
    wide = nonlinear(b, x.named(unsqueeze(b, x, [axis])))
    if b.opset >= 11 and b.chance(0.4):
        axis -= len(x.shape) + 1
    return x.named(squeeze(b, wide, [axis]))


@block(*MAPS)
def grouped_scale(b: Builder, x: Tensor) -> Tensor:
    """View channels as (groups, rest), scale along one of the two, and merge them."""
    groups = b.pick([2, 3, 4])
    x = fit(b, x, groups)
    each = x.channels // groups
    spatial = [At(i) for i in range(2, len(x.shape))]
    grouped = reshape(b, x, [At(0), groups, each, *spatial])
    ones = (1,) * len(spatial)
    shape = b.pick([(each, *ones), (groups, 1, *ones), (groups, each, *ones)])
    scaled = b.same("Mul", grouped, gain(b, shape))
    tail = [At(i + 1) for i in range(2, len(x.shape))]
    return reshape(b, scaled, [At(0), Size((At(1), At(2))), *tail], x.layout)


@block("seq", "vec")
def rows_of_last_axis(b: Builder, x: Tensor) -> Tensor:
    """View the last axis as rows and elements, reorder or reduce them, and merge them."""
    rows = b.pick([2, 3, 4])
    x = fit(b, x, rows)
    lead = [At(i) for i in range(x.axis)]
    viewed = reshape(b, x, [*lead, rows, Size((At(x.axis),), over=rows)])
    order = list(range(len(viewed.shape)))
    order[-2:] = [order[-1], order[-2]]
    turned = transpose(b, viewed, order)
    merged = Size((At(len(order) - 2), At(len(order) - 1)))
    return reshape(b, turned, [*lead, merged], x.layout)


@block("seq")
def positions_as_batch(b: Builder, x: Tensor) -> Tensor:
    """Fold the sequence into the batch for a Gemm and unfold it again."""
    flat = reshape(b, x, [Size((At(0), At(1))), At(2)], "vec")
    wide = linear(b, flat, b.width())
    return reshape(b, wide, [At(0, x), At(1, x), At(1)], "seq")


@block(*MAPS)
def channels_last_round_trip(b: Builder, x: Tensor) -> Tensor:
    """Transpose to channels last, mix the channels, transpose back."""
    last = channels_last(b, x)
    inner = linear(b, nonlinear(b, last), b.width())
    return channels_first(b, inner, x.layout)


@block("seq", since=10, floats="f")
def reverse_sequence(b: Builder, x: Tensor) -> Tensor:
    """Reverse along the sequence by the lengths of a static batch, or by a Slice."""
    if isinstance(x.shape[0], int) and b.chance(0.7):
        lengths = b.ints([b.between(1, 3) for _ in range(x.shape[0])])
        return b.same("ReverseSequence", x, lengths, batch_axis=0, time_axis=1)
    return x.named(cut(b, x, 1, slice(-1, None, -1)))


@block("seq", since=14, floats="f")
def triangular(b: Builder, x: Tensor) -> Tensor:
    """Mix positions with the lower triangle of their products."""
    scores = b.op("MatMul", x, b.op("Transpose", x, perm=[0, 2, 1]))
    kept = b.op("Trilu", b.op("Tanh", scores), upper=0)
    return x.named(b.op("MatMul", kept, x), rms=2 * x.rms)
