"""Blocks that pool, reduce, or weigh by what they reduced."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.testing.blocks.builder import ANY, MAPS, Builder, Tensor
from onnxprune.testing.blocks.layers import add, evened, gate, nonlinear, project
from onnxprune.testing.blocks.registry import block
from onnxprune.testing.blocks.shaping import At, reshape
from onnxprune.testing.blocks.versioned import cut, reduce, softmax, squeeze, unsqueeze
from onnxprune.testing.blocks.weights import bias, weight

if TYPE_CHECKING:
    from collections.abc import Sequence

_REDUCTIONS = ["ReduceMean", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceSum", "ReduceL2"]
_MORE_REDUCTIONS = [*_REDUCTIONS, "ReduceL1", "ReduceLogSumExp", "ReduceSumSquare"]


def global_pool(b: Builder, x: Tensor) -> Tensor:
    """Reduce each channel of a map to one number and keep the axes."""
    if b.chance(0.5):
        name = b.op(b.pick(["GlobalAveragePool", "GlobalMaxPool"]), x)
    else:
        axes = list(range(2, len(x.shape)))
        name = reduce(b, "ReduceMean", x, axes=axes, keep=True)
    return x.resized(name, x.channels, space=[1 for _ in x.space])


def to_vector(b: Builder, x: Tensor) -> Tensor:
    """Drop space or time and keep batch and channels."""
    if x.layout == "vec":
        return x
    if x.layout == "seq":
        name = reduce(b, b.pick(["ReduceMean", "ReduceMax"]), x, axes=[1], keep=False)
        return Tensor(name, (x.shape[0], x.channels), "vec", x.rms)
    pooled = global_pool(b, x)
    shape = (x.shape[0], x.channels)
    form = b.pick(["flatten", "squeeze", "reshape"])
    if form == "flatten":
        return Tensor(b.op("Flatten", pooled, axis=1), shape, "vec", x.rms)
    if form == "squeeze":
        name = squeeze(b, pooled, list(range(2, len(x.shape))))
        return Tensor(name, shape, "vec", x.rms)
    return reshape(b, pooled, [At(0), At(1)], "vec")


def squeeze_excite(b: Builder, x: Tensor) -> Tensor:
    """Multiply each channel of a map by a gate computed from all channels' means."""
    if b.chance(0.6):
        small = nonlinear(b, project(b, global_pool(b, x), b.between(1, 4)))
        return x.named(b.op("Mul", x, gate(b, project(b, small, x.channels))))
    small = nonlinear(b, project(b, to_vector(b, x), b.between(1, 4)))
    gates = gate(b, project(b, small, x.channels))
    factor = unsqueeze(b, gates, list(range(2, len(x.shape))))
    return x.named(b.op("Mul", *b.shuffled(x, factor)))


@block(*MAPS, floats="ef")
def squeeze_excitation(b: Builder, x: Tensor) -> Tensor:
    """A squeeze-and-excitation block."""
    return squeeze_excite(b, x)


def _window(b: Builder, x: Tensor) -> tuple[dict[str, Sequence[int] | int], list[int]]:
    """Choose the attributes of a pooling and the space that is left."""
    kernel, strides, pads, space = [], [], [], []
    for size in x.space:
        k = b.pick([2, 3]) if size >= 3 else 1
        s = b.pick([1, 2]) if size >= 4 else 1
        p = b.pick([0, 1]) if k == 3 else 0
        kernel.append(k)
        strides.append(s)
        pads.append(p)
        space.append((size + 2 * p - k) // s + 1)
    return {"kernel_shape": kernel, "strides": strides, "pads": pads + pads}, space


@block(*MAPS, floats="ef")
def max_pool(b: Builder, x: Tensor) -> Tensor:
    """MaxPool, sometimes with an index output that nothing uses."""
    attributes, space = _window(b, x)
    name = b.node("MaxPool", x, outputs=b.pick([1, 1, 2]), **attributes)[0]
    return x.resized(name, x.channels, space=space)


@block(*MAPS, floats="ef")
def average_pool(b: Builder, x: Tensor) -> Tensor:
    """AveragePool with either way of counting the padding."""
    attributes, space = _window(b, x)
    if b.chance(0.5):
        attributes["count_include_pad"] = 1
    return x.resized(b.op("AveragePool", x, **attributes), x.channels, space=space)


@block(*MAPS, floats="f")
def lp_pool(b: Builder, x: Tensor) -> Tensor:
    """LpPool, or the global form."""
    if b.opset < 22 and b.chance(0.3):
        ones = [1 for _ in x.space]
        return x.resized(b.op("GlobalLpPool", x, p=2), x.channels, space=ones)
    attributes, space = _window(b, x)
    return x.resized(b.op("LpPool", x, p=2, **attributes), x.channels, space=space)


@block("plane", floats="f")
def max_unpool(b: Builder, x: Tensor) -> Tensor:
    """Pool and put the maxima back where they were."""
    x = evened(b, x)  # an odd size would not come back
    if any(size % 2 for size in x.space):
        return x
    largest, where = b.node("MaxPool", x, outputs=2, kernel_shape=[2, 2], strides=[2, 2])
    name = b.op("MaxUnpool", largest, where, kernel_shape=[2, 2], strides=[2, 2])
    return x.named(name)


@block(*MAPS, "seq")
def pool_to_vector(b: Builder, x: Tensor) -> Tensor:
    """Global pooling down to batch and channels."""
    return to_vector(b, x)


@block(*MAPS)
def reduce_space(b: Builder, x: Tensor) -> Tensor:
    """Any reduction over all of space."""
    axes = list(range(2, len(x.shape)))
    kind = b.pick(_MORE_REDUCTIONS)
    if b.opset >= 11 and b.chance(0.5):
        axes = [axis - len(x.shape) for axis in axes]
    name = reduce(b, kind, x, axes=axes, keep=False)
    grown = math.prod(x.space) if kind in {"ReduceSum", "ReduceL1", "ReduceSumSquare"} else 2
    return Tensor(name, (x.shape[0], x.channels), "vec", x.rms * grown)


@block(*MAPS, "seq", "vec")
def reduce_channels(b: Builder, x: Tensor) -> Tensor:
    """Weigh all channels by a statistic over the channels."""
    kind = b.pick(_REDUCTIONS)
    statistic = x.resized(reduce(b, kind, x, axes=[x.axis], keep=True), 1)
    factor = b.op(b.pick(["Sigmoid", "Tanh"]), statistic)
    return x.named(b.op(b.pick(["Mul", "Add"]), x, factor))


@block("plane", floats="ef")
def spatial_attention(b: Builder, x: Tensor) -> Tensor:
    """Gate every pixel by a convolution of channel mean and maximum, as CBAM does."""
    mean = reduce(b, "ReduceMean", x, axes=[1], keep=True)
    top = reduce(b, "ReduceMax", x, axes=[1], keep=True)
    both = x.resized(b.op("Concat", mean, top, axis=1), 2)
    kernel = weight(b, (1, 2, 3, 3), fan_in=18)
    mask = b.op("Sigmoid", b.op("Conv", both, kernel, pads=[1, 1, 1, 1]))
    return x.named(b.op("Mul", x, mask))


@block(*MAPS, floats="ef")
def selective_kernel(b: Builder, x: Tensor) -> Tensor:
    """Mix two branches by a softmax over the branches."""
    branches = [project(b, x, x.channels) for _ in range(2)]
    vector = to_vector(b, add(b, *branches))
    logits = [project(b, vector, x.channels) for _ in branches]
    stacked = b.op("Concat", *(unsqueeze(b, logit, [2]) for logit in logits), axis=2)
    weights = softmax(b, Tensor(stacked, (x.shape[0], x.channels, 2)), 2)
    mixed = []
    for i, branch in enumerate(branches):
        factor = cut(b, weights, 2, slice(i, i + 1))
        for axis in range(3, len(x.shape)):
            factor = unsqueeze(b, factor, [axis])
        mixed.append(branch.named(b.op("Mul", branch, factor)))
    return add(b, *mixed)


@block("seq")
def first_token(b: Builder, x: Tensor) -> Tensor:
    """Take one position of a sequence."""
    position = b.pick([0, -1]) if b.opset >= 11 else 0
    if b.chance(0.5):
        name = b.op("Gather", x, b.ints(position), axis=1)
    else:
        end = None if position == -1 else 1
        name = squeeze(b, cut(b, x, 1, slice(position, end)), [1])
    return Tensor(name, (x.shape[0], x.channels), "vec", x.rms)


@block("seq", floats="ef")
def attention_pool(b: Builder, x: Tensor) -> Tensor:
    """Average a sequence with weights from a softmax over its positions."""
    scores = project(b, x, 1)
    weights = Tensor(softmax(b, scores, 1), scores.shape)
    if b.chance(0.5):
        name = reduce(b, "ReduceSum", b.op("Mul", x, weights), axes=[1], keep=False)
    else:
        flipped = b.op("Transpose", weights, perm=[0, 2, 1])
        name = squeeze(b, b.op("MatMul", flipped, x), [1])
    return Tensor(name, (x.shape[0], x.channels), "vec", x.rms)


@block("plane", "vec", floats="f")
def top_channels(b: Builder, x: Tensor) -> Tensor:
    """Sort channels or positions by value and keep the largest."""
    axis = x.axis if x.layout == "vec" or b.chance(0.5) else 3
    size = x.shape[axis]
    assert isinstance(size, int)
    kept = b.between(1, size)
    if b.opset >= 10:
        name = b.node("TopK", x, b.ints([kept]), outputs=2, axis=axis)[0]
    else:
        name = b.node("TopK", x, outputs=2, axis=axis, k=kept)[0]
    shape = (*x.shape[:axis], kept, *x.shape[axis + 1 :])
    return Tensor(name, shape, x.layout, x.rms * 1.5)


@block(*ANY, floats="f", smooth=False)
def arg_max(b: Builder, x: Tensor) -> Tensor:
    """Add the index of the largest channel as a number."""
    index = b.op(b.pick(["ArgMax", "ArgMin"]), x, axis=x.axis, keepdims=1)
    number = b.op("Mul", b.op("Cast", index, to=b.elem_type), b.floats(0.05))
    return x.named(b.op("Add", x, number))


@block(*MAPS, "seq", "vec", since=11, floats="fd")
def cumulative_sum(b: Builder, x: Tensor) -> Tensor:
    """Sum up along the last spatial axis, the sequence or the channels."""
    options = [x.axis] if x.layout == "vec" else [x.axis, len(x.shape) - 1, len(x.shape) - 2]
    axis = b.constant(np.asarray(b.pick(options), dtype=np.int64))
    attributes = b.pick([{}, {"reverse": 1}, {"exclusive": 1}])
    return x.named(b.op("CumSum", b.op("Tanh", x), axis, **attributes), rms=2.0)


@block("plane", floats="ef")
def pyramid_pool(b: Builder, x: Tensor) -> Tensor:
    """Concatenate a map with a globally pooled and expanded view of it, as ASPP does."""
    small = nonlinear(b, project(b, global_pool(b, x), b.between(2, 6)))
    if b.chance(0.5):
        wanted = b.constant(np.asarray([1, 1, *x.space], dtype=np.int64))
        wide = b.op("Expand", small, wanted)
    else:
        wide = b.op("Tile", small, b.ints([1, 1, *x.space]))
    total = x.channels + small.channels
    return x.resized(b.op("Concat", x, wide, axis=1), total)


@block("vec")
def modulated_vector(b: Builder, x: Tensor) -> Tensor:
    """Scale and shift a vector by two halves of a projection of itself (FiLM)."""
    both = project(b, x, 2 * x.channels)
    factor = b.op("Tanh", cut(b, both, 1, slice(0, x.channels)))
    shift = cut(b, both, 1, slice(x.channels, None))
    product = b.op("Mul", x, b.op("Add", factor, b.floats(1.0)))
    return x.named(b.op("Add", b.op("Add", product, shift), bias(b, x.channels)), rms=2 * x.rms)
