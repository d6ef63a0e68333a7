"""Building bricks that other blocks share: a projection for every layout, activations, gates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxprune.testing.blocks.builder import MAPS, Builder, Layout, Tensor
from onnxprune.testing.blocks.versioned import clip, cut
from onnxprune.testing.blocks.weights import bias, weight

if TYPE_CHECKING:
    from collections.abc import Sequence

_ACTIVATIONS = [  # with the first opset and the floating-point types they exist for
    ("Relu", 9, "efd"),
    ("LeakyRelu", 9, "ef"),
    ("Elu", 9, "ef"),
    ("Selu", 9, "ef"),
    ("Sigmoid", 9, "efd"),
    ("Tanh", 9, "efd"),
    ("Softplus", 9, "ef"),
    ("Softsign", 9, "ef"),
    ("HardSigmoid", 9, "ef"),
    ("Abs", 9, "efd"),
    ("Neg", 9, "efd"),
    ("Sin", 9, "efd"),
    ("Cos", 9, "ef"),
    ("Atan", 9, "ef"),
    ("Erf", 9, "ef"),
    ("Celu", 12, "f"),
    ("HardSwish", 14, "ef"),
    ("Mish", 18, "f"),
    ("Gelu", 20, "ef"),
]


def project(b: Builder, x: Tensor, width: int) -> Tensor:
    """Mix the channels into `width` new ones: a 1x1 convolution or a matrix product."""
    if x.layout in MAPS:
        shape = (width, x.channels, *(1 for _ in x.space))
        operands = [weight(b, shape, fan_in=x.channels)]
        if b.chance(0.6):
            operands.append(bias(b, width))
        return x.resized(b.op("Conv", x, *operands), width)
    return linear(b, x, width)


def linear(b: Builder, x: Tensor, width: int) -> Tensor:
    """Multiply the last axis with a matrix, and mostly add a bias."""
    if x.layout == "vec" and b.chance(0.5):
        operands = [weight(b, (width, x.channels), fan_in=x.channels), bias(b, width)]
        if b.opset >= 11 and b.chance(0.3):
            operands.pop()
        return x.resized(b.op("Gemm", x, *operands, transB=1), width)
    name = b.op("MatMul", x, weight(b, (x.channels, width), fan_in=x.channels))
    if b.chance(0.7):
        name = b.op("Add", *b.shuffled(name, bias(b, width)))
    return x.resized(name, width)


def fit(b: Builder, x: Tensor, multiple: int) -> Tensor:
    """Return `x` itself, or a projection whose number of channels is a multiple."""
    if x.channels % multiple == 0:
        return x
    return project(b, x, multiple * b.between(1, max(1, 12 // multiple)))


def slim(b: Builder, x: Tensor, most: int = 16) -> Tensor:
    """Return `x` itself, or a projection with few enough channels."""
    return x if x.channels <= most else project(b, x, most)


def activate(b: Builder, x: Tensor) -> Tensor:
    """Apply a random continuous activation, as one operator or spelled out."""
    spelled = [_swish, _hard_swish, _relu6, _gelu]
    if b.setting.dtype == np.float64:
        spelled = [_swish]  # ONNX Runtime lacks Erf and some versions of Clip for double
    if b.chance(0.3):
        return b.pick(spelled)(b, x)
    code = b.setting.dtype.char
    usable = [name for name, since, floats in _ACTIVATIONS if since <= b.opset and code in floats]
    return b.same(b.pick(usable), x)


def nonlinear(b: Builder, x: Tensor) -> Tensor:
    """Apply an activation that every exporter writes as one operator."""
    return b.same(b.pick(["Relu", "Relu", "Tanh", "Sigmoid"]), x)


def gate(b: Builder, x: Tensor) -> Tensor:
    """Squash to (0, 1)."""
    kinds = ["Sigmoid", "HardSigmoid"] if b.setting.dtype != np.float64 else ["Sigmoid"]
    return x.named(b.op(b.pick(kinds), x), rms=0.6)


def halved(b: Builder, x: Tensor) -> Tensor:
    """Shrink a map whose space is too large to grow further."""
    if max(x.space) <= 4:
        return x
    steps = [2 if size > 1 else 1 for size in x.space]
    name = b.op("AveragePool", x, kernel_shape=steps, strides=steps)
    space = [size // step for size, step in zip(x.space, steps, strict=True)]
    return x.resized(name, x.channels, space=space)


def evened(b: Builder, x: Tensor) -> Tensor:
    """Crop a map so that every spatial size larger than one is even."""
    for axis, size in enumerate(x.space):
        if size % 2 and size > 1:
            space = [*x.space[:axis], size - 1, *x.space[axis + 1 :]]
            x = x.resized(cut(b, x, axis + 2, slice(0, size - 1)), x.channels, space=space)
    return x


def add(b: Builder, x: Tensor, y: Tensor) -> Tensor:
    """Add two values of the same shape in either order."""
    return x.named(b.op("Add", *b.shuffled(x, y)), rms=(x.rms**2 + y.rms**2) ** 0.5)


def transpose(b: Builder, x: Tensor, order: Sequence[int], layout: Layout = "raw") -> Tensor:
    """Reorder axes."""
    shape = tuple(x.shape[i] for i in order)
    return Tensor(b.op("Transpose", x, perm=list(order)), shape, layout, x.rms)


def channels_last(b: Builder, x: Tensor) -> Tensor:
    """Move the channels of a map to the end."""
    rank = len(x.shape)
    return transpose(b, x, [0, *range(2, rank), 1])


def channels_first(b: Builder, x: Tensor, layout: Layout) -> Tensor:
    """Move the channels of a channels-last value back to axis 1."""
    rank = len(x.shape)
    return transpose(b, x, [0, rank - 1, *range(1, rank - 1)], layout)


def _swish(b: Builder, x: Tensor) -> Tensor:
    return b.same("Mul", x, b.op("Sigmoid", x))


def _hard_swish(b: Builder, x: Tensor) -> Tensor:
    shifted = clip(b, b.op("Add", x, b.floats(3.0)), 0.0, 6.0)
    return x.named(b.op("Div", b.op("Mul", x, shifted), b.floats(6.0)))


def _gelu(b: Builder, x: Tensor) -> Tensor:
    erf = b.op("Erf", b.op("Div", x, b.floats(1.4142135)))
    half = b.op("Mul", x, b.op("Add", erf, b.floats(1.0)))
    return x.named(b.op("Mul", half, b.floats(0.5)))


def _relu6(b: Builder, x: Tensor) -> Tensor:
    return x.named(clip(b, x, 0.0, 6.0))
