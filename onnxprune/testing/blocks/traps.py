"""Blocks in which numbers taken from shapes, or positions, take part in the arithmetic."""

from __future__ import annotations

import numpy as np

from onnxprune.testing.blocks.builder import ANY, MAPS, Builder, Tensor
from onnxprune.testing.blocks.joining import join
from onnxprune.testing.blocks.layers import activate, add, fit, linear, project
from onnxprune.testing.blocks.registry import block
from onnxprune.testing.blocks.shaping import At, shape_vector, size_of
from onnxprune.testing.blocks.versioned import reduce, unsqueeze
from onnxprune.testing.blocks.weights import plain, weight


@block(*ANY)
def mean_by_size(b: Builder, x: Tensor) -> Tensor:
    """Subtract a mean over channels or positions, spelled as a sum divided by a size."""
    axis = b.pick([x.axis, len(x.shape) - 1])
    total = reduce(b, "ReduceSum", x, axes=[axis], keep=True)
    count = b.op("Cast", size_of(b, x, axis), to=b.elem_type)
    return x.named(b.op("Sub", x, b.op("Div", total, count)))


@block(*ANY)
def scaled_by_size(b: Builder, x: Tensor) -> Tensor:
    """Divide by the root of the number of channels."""
    count = b.op("Cast", size_of(b, x, x.axis), to=b.elem_type)
    return x.named(b.op("Mul", b.op("Div", x, b.op("Sqrt", count)), b.floats(3.0)))


@block(*ANY, since=11, floats="fd")
def mask_by_position(b: Builder, x: Tensor) -> Tensor:
    """Damp every second channel, told apart by a Range over the channels."""
    places = b.op("Range", b.ints(0), size_of(b, x, x.axis), b.ints(1))
    odd = b.op("Cast", b.op("Mod", places, b.ints(2)), to=b.elem_type)
    factor = b.op("Sub", b.floats(1.0), b.op("Mul", odd, b.floats(0.5)))
    after = list(range(1, len(x.shape) - x.axis))
    column = unsqueeze(b, factor, after) if after else factor
    return x.named(b.op("Mul", x, column))


@block(*ANY)
def constant_of_its_shape(b: Builder, x: Tensor) -> Tensor:
    """Combine with a constant expanded to the shape of the value, as `full_like` exports."""
    shape = b.op("Shape", x)
    if b.chance(0.5):
        filled = b.op("Cast", b.op("ConstantOfShape", shape), to=b.elem_type)
    else:
        filled = b.op("Expand", b.floats(float(b.rng.uniform(0.3, 0.7))), shape)
    return x.named(b.op(b.pick(["Add", "Max", "Sub"]), *b.shuffled(x, filled)), rms=x.rms + 0.5)


@block(*ANY, since=10)
def chunk_by_shape(b: Builder, x: Tensor) -> Tensor:
    """Slice the channels in two where half of their number says, as tracing a chunk does."""
    x = fit(b, x, 2)
    half = x.channels // 2
    count = size_of(b, x, x.axis)
    middle = b.op("Div", b.op("Add", count, b.ints(1)), b.ints(2))
    where = unsqueeze(b, middle, [0])
    end = unsqueeze(b, b.op("Mul", middle, b.ints(2)), [0])
    axis = b.ints([x.axis])
    low = x.resized(b.op("Slice", x, b.ints([0]), where, axis), half)
    high = x.resized(b.op("Slice", x, where, end, axis), half)
    form = b.pick(["low", "add", "join"])
    if form == "low":
        return low
    return add(b, low, high) if form == "add" else join(b, activate(b, high), low)


@block("seq", since=11, floats="fd")
def positions_by_range(b: Builder, x: Tensor) -> Tensor:
    """Look up learned positions by a Range over the sequence."""
    table = plain(b, b.rng.normal(0.0, 0.5, (x.most_positions, x.channels)))
    places = b.op("Range", b.ints(0), size_of(b, x, 1), b.ints(1))
    rows = b.op("Gather", table, unsqueeze(b, places, [0]) if b.chance(0.5) else places, axis=0)
    return x.named(b.op("Add", *b.shuffled(x, rows)), rms=x.rms + 0.5)


@block("vec", "seq", floats="fd")
def identity_matrix(b: Builder, x: Tensor) -> Tensor:
    """Add the identity to a square weight before the product."""
    matrix = weight(b, (x.channels, x.channels), fan_in=4 * x.channels)
    eye = b.op("EyeLike", matrix) if b.chance(0.5) else b.floats(np.eye(x.channels))
    return x.named(b.op("MatMul", x, b.op("Add", matrix, eye)))


@block(*MAPS, "vec")
def compress(b: Builder, x: Tensor) -> Tensor:
    """Keep the channels that a constant condition names."""
    kept = b.rng.random(x.channels) < 0.6
    kept[b.between(0, x.channels - 1)] = True
    name = b.op("Compress", x, b.constant(kept), axis=x.axis)
    return x.resized(name, int(kept.sum()))


@block("vec", since=11, floats="fd")
def gather_elements(b: Builder, x: Tensor) -> Tensor:
    """Permute the channels by indices expanded over the batch."""
    order = [[int(i) for i in b.rng.permutation(x.channels)]]
    row = b.constant(np.asarray(order, dtype=np.int64))
    indices = b.op("Expand", row, shape_vector(b, x, [At(0), x.channels]))
    return x.named(b.op("GatherElements", x, indices, axis=1))


@block(*MAPS, "vec", since=11, floats="fd")
def gather_rows(b: Builder, x: Tensor) -> Tensor:
    """Select channels by GatherND behind a transposition."""
    moved = [1, 0, *range(2, len(x.shape))]
    rows = b.rng.permutation(x.channels)[: b.between(1, x.channels)]
    indices = b.constant(rows.astype(np.int64).reshape(-1, 1), hint="rows")
    taken = b.op("GatherND", b.op("Transpose", x, perm=moved), indices)
    return x.resized(b.op("Transpose", taken, perm=moved), len(rows))


@block("vec", "plane")
def product_over_channels(b: Builder, x: Tensor) -> Tensor:
    """Scale by the product of all channels, kept near one."""
    near = b.op("Add", b.op("Mul", b.op("Tanh", x), b.floats(0.1)), b.floats(1.0))
    return x.named(b.op("Mul", x, reduce(b, "ReduceProd", near, axes=[x.axis], keep=True)))


@block(*ANY, floats="f", smooth=False)
def step(b: Builder, x: Tensor) -> Tensor:
    """Add a function with jumps."""
    usable = ["Floor", "Ceil", "Sign", "Hardmax"] + ["Round"] * (b.opset >= 11)
    kind = b.pick(usable)
    jumped = linear(b, x, x.channels) if x.axis == len(x.shape) - 1 else project(b, x, x.channels)
    if kind == "Hardmax":
        axis = x.axis if b.opset >= 13 or x.axis == len(x.shape) - 1 else 1
        name = b.op(kind, jumped, axis=axis)
    else:
        name = b.op(kind, jumped)
    return x.named(b.op("Add", x, b.op("Mul", name, b.floats(0.3))))


@block(*ANY, since=15, floats="fd")
def cast_like(b: Builder, x: Tensor) -> Tensor:
    """Multiply with a constant of another type cast to the type of the value."""
    values = b.constant(b.rng.uniform(0.6, 1.4, ()).astype(np.float16))
    return x.named(b.op("Mul", x, b.op("CastLike", values, x)))


@block("plane", "line", "vec", since=11, floats="f")
def sequence_built(b: Builder, x: Tensor) -> Tensor:
    """Grow a sequence value by value, and concatenate or index it."""
    first, second = project(b, x, x.channels), activate(b, x)
    grown = b.op("SequenceInsert", b.op("SequenceConstruct", x, first), second)
    if b.chance(0.5):
        return x.named(b.op("SequenceAt", grown, b.ints(b.pick([0, 1, 2, -1]))))
    left = b.op("SequenceErase", grown, b.ints(1))
    return x.resized(b.op("ConcatFromSequence", left, axis=x.axis), 2 * x.channels)
