"""Blocks of elementwise operators, with every way of broadcasting."""

from __future__ import annotations

import numpy as np

from onnxprune.testing.blocks.builder import ANY, MAPS, Builder, Tensor
from onnxprune.testing.blocks.layers import activate, add, gate, project
from onnxprune.testing.blocks.pooling import to_vector
from onnxprune.testing.blocks.registry import block
from onnxprune.testing.blocks.versioned import clip, softmax, split, unsqueeze
from onnxprune.testing.blocks.weights import bias, plain, weight


def _other(b: Builder, x: Tensor) -> Tensor:
    """Return another value of the same shape: a live one, or a projection of `x`."""
    partner = b.partner(x)
    return partner if partner and b.chance(0.8) else project(b, x, x.channels)


def _operand_shapes(x: Tensor) -> list[tuple[int, ...]]:
    """List the constant shapes that broadcast to `x`."""
    after = len(x.shape) - 1 - x.axis
    shapes: list[tuple[int, ...]] = [
        (),
        (1,),
        (x.channels, *(1,) * after),
        (*(1,) * x.axis, x.channels, *(1,) * after),
        (x.channels, *(1,) * after),
    ]
    if x.space:
        shapes += [(x.channels, *x.space), (1, x.channels, *x.space), (1, 1, *x.space)]
        shapes += [x.space, (1, *(1 for _ in x.space[1:]), x.space[-1])]
    return shapes


@block(*ANY)
def activation(b: Builder, x: Tensor) -> Tensor:
    """One activation."""
    return activate(b, x)


@block(*ANY)
def residual(b: Builder, x: Tensor) -> Tensor:
    """Add, subtract, or take the larger of two values of one shape."""
    other = _other(b, x)
    kind = b.pick(["Add", "Add", "Add", "Sub", "Max", "Min"])
    return x.named(b.op(kind, *b.shuffled(x, other)), rms=(x.rms**2 + other.rms**2) ** 0.5)


@block(*ANY)
def product(b: Builder, x: Tensor) -> Tensor:
    """Multiply a value with a gate, or with a bounded view of another."""
    other = b.same(b.pick(["Sigmoid", "Tanh"]), _other(b, x))
    return x.named(b.op("Mul", *b.shuffled(x, other)))


@block(*ANY)
def constant_operand(b: Builder, x: Tensor) -> Tensor:
    """Combine with a constant of any broadcastable shape."""
    kind = b.pick(["Add", "Sub", "Mul", "Div", "Max", "Min"])
    shape = b.pick(_operand_shapes(x))
    if kind in {"Mul", "Div"}:
        constant = plain(b, b.rng.uniform(0.6, 1.4, shape))
    else:
        constant = plain(b, b.rng.normal(0.0, 0.5, shape))
    operands = [x, constant] if kind == "Div" else b.shuffled(x, constant)
    return x.named(b.op(kind, *operands), rms=x.rms * 1.1)


@block(*ANY)
def single_channel_operand(b: Builder, x: Tensor) -> Tensor:
    """Combine with a computed value that has one channel."""
    other = project(b, x, 1)
    kind = b.pick(["Mul", "Add", "Sub"])
    right = gate(b, other) if kind == "Mul" else other
    return x.named(b.op(kind, *b.shuffled(x, right)), rms=x.rms * 1.4)


@block(*MAPS)
def vector_operand(b: Builder, x: Tensor) -> Tensor:
    """Shift the channels of a map by a vector computed elsewhere."""
    vectors = [t for t in b.live if t.layout == "vec"] or [to_vector(b, x)]
    vector = project(b, b.pick(vectors), x.channels)
    column = unsqueeze(b, vector, list(range(2, len(x.shape))))
    if b.chance(0.5):
        return x.named(b.op("Mul", x, b.op("Sigmoid", column)))
    return x.named(b.op("Add", x, column), rms=x.rms + vector.rms)


@block(*ANY)
def many_operands(b: Builder, x: Tensor) -> Tensor:
    """Sum, Mean, Max or Min of three values."""
    operands = [x, _other(b, x), project(b, x, x.channels)]
    if b.chance(0.3):
        operands.append(x)
    kinds = ["Sum", "Max", "Min"] + ["Mean"] * (b.setting.dtype != np.float64)
    kind = b.pick(kinds)
    return x.named(b.op(kind, *operands), rms=x.rms * (1.8 if kind == "Sum" else 1.0))


@block(*ANY)
def gated_linear(b: Builder, x: Tensor) -> Tensor:
    """Multiply one half of a projection with the squashed other half."""
    half = b.between(2, 8)
    both = project(b, x, 2 * half)
    axis = both.axis if b.chance(0.5) or b.opset < 11 else both.axis - len(both.shape)
    value, control = split(b, both, [half, half], axis)
    name = b.op("Mul", value, b.op("Sigmoid", control))
    return both.resized(name, half)


@block(*ANY)
def doubled(b: Builder, x: Tensor) -> Tensor:
    """Use one value as both operands."""
    if b.chance(0.5):
        return x.named(b.op("Add", x, x), rms=2 * x.rms)
    bounded = b.op("Tanh", x)
    return x.named(b.op("Mul", bounded, bounded), rms=0.7)


@block(*ANY)
def where(b: Builder, x: Tensor) -> Tensor:
    """Choose elementwise by comparison with zero, or by a constant mask."""
    if b.chance(0.5):
        condition = b.op("Greater", x, b.floats(0.0))
        leak = b.op("Mul", x, plain(b, b.rng.uniform(0.0, 0.5, b.pick(_operand_shapes(x)))))
        return x.named(b.op("Where", condition, x, leak))
    shape = b.pick(_operand_shapes(x))
    mask = b.constant(np.asarray(b.rng.random(shape) < 0.6))
    other = _other(b, x).name if b.chance(0.5) else b.floats(b.rng.normal(0.0, 0.5, shape))
    return x.named(b.op("Where", mask, x, other))


@block(*ANY, floats="ef")
def clipped(b: Builder, x: Tensor) -> Tensor:
    """Clip from one or both sides."""
    low = b.pick([None, -0.5, 0.0])
    return x.named(clip(b, x, low, b.pick([1.0, 6.0]) if low is None or b.chance(0.6) else None))


@block(*ANY, floats="ef")
def parametric_relu(b: Builder, x: Tensor) -> Tensor:
    """PRelu with one slope, or one per channel."""
    after = len(x.shape) - 1 - x.axis
    shape = b.pick([(1,), (x.channels, *(1,) * after), (x.channels, *(1,) * after)])
    return b.same("PRelu", x, plain(b, b.rng.uniform(0.05, 0.5, shape)))


@block(*ANY)
def softmax_channels(b: Builder, x: Tensor) -> Tensor:
    """Normalise over the channels."""
    kind = b.pick(["Softmax", "Softmax", "LogSoftmax"])
    name = softmax(b, x, x.axis, kind)
    return x.named(name, rms=0.3 if kind == "Softmax" else 2.5)


@block("line", "plane", "seq")
def softmax_elsewhere(b: Builder, x: Tensor) -> Tensor:
    """Normalise over space or time and use the result as weights."""
    axis = 1 if x.layout == "seq" else len(x.shape) - 1
    return x.named(b.op("Mul", x, softmax(b, x, axis)), rms=x.rms)


@block(*ANY)
def rational(b: Builder, x: Tensor) -> Tensor:
    """Square roots, powers, exponentials, logarithms and quotients, kept in range."""
    form = b.pick(["root", "square", "exp", "quotient", "log"])
    if form == "log" and b.setting.dtype == np.float64:
        form = "root"  # ONNX Runtime has no Softplus for double
    if form == "root":
        return x.named(b.op("Sqrt", b.op("Add", b.op("Abs", x), b.floats(0.1))))
    if form == "square":
        return x.named(b.op("Pow", b.op("Tanh", x), b.floats(2.0)), rms=0.6)
    if form == "exp":
        return x.named(b.op("Exp", b.op("Tanh", x)), rms=1.5)
    if form == "log":
        return x.named(b.op("Log", b.op("Add", b.op("Softplus", x), b.floats(0.5))))
    below = b.op("Add", b.op("Abs", _other(b, x)), b.floats(1.0))
    return x.named(b.op("Div", x, below))


@block(*ANY)
def dropout(b: Builder, x: Tensor) -> Tensor:
    """Dropout left in for inference, its mask mostly absent."""
    outputs = b.pick([1, 1, 2])
    if b.opset < 12:
        return x.named(b.node("Dropout", x, outputs=outputs, ratio=0.3)[0])
    operands = [b.floats(0.3)] if b.chance(0.7) else []
    return x.named(b.node("Dropout", x, *operands, outputs=outputs)[0])


@block(*ANY, floats="f")
def other_precision(b: Builder, x: Tensor) -> Tensor:
    """Cast to double, or needlessly to the same type, and back."""
    away = b.op("Cast", x, to=b.pick([1, 11]))
    return x.named(b.op("Relu", b.op("Cast", away, to=b.elem_type)))


@block(*ANY, floats="f", smooth=False)
def half_island(b: Builder, x: Tensor) -> Tensor:
    """Cast to half precision and back."""
    away = b.op("Cast", x, to=10)
    return x.named(b.op("Cast", b.op(b.pick(["Relu", "Tanh"]), away), to=b.elem_type))


@block("vec", "seq", floats="f")
def double_island(b: Builder, x: Tensor) -> Tensor:
    """Multiply with a matrix in double precision inside a single precision graph."""
    width = b.width()
    matrix = b.constant(b.rng.normal(0.0, x.channels**-0.5, (x.channels, width)))
    # ONNX Runtime's optimiser crashes on a Transpose that a Cast separates from a product.
    wide = b.op("MatMul", b.op("Cast", b.op("Relu", x), to=11), matrix)
    shifted = b.op("Add", b.op("Cast", wide, to=b.elem_type), bias(b, width))
    return x.resized(shifted, width)


@block("vec")
def mixture(b: Builder, x: Tensor) -> Tensor:
    """Weigh two projections by a two-way softmax."""
    width = b.width()
    scores = project(b, x, 2)
    shares = split(b, softmax(b, scores, 1), [1, 1], 1)
    parts = [b.op("Mul", project(b, x, width), share) for share in shares]
    return x.resized(b.op("Add", *parts), width)


@block(*ANY)
def logic(b: Builder, x: Tensor) -> Tensor:
    """Mask with the conjunction of comparisons that hold or not by continuous margins."""
    other = _other(b, x)
    first = b.op("Greater", x, b.floats(0.0))
    second = b.op("Not", b.op("Less", other, b.floats(0.0)))
    both = b.op(b.pick(["And", "Or"]), first, second)
    low = b.op("Min", b.op("Relu", x), b.op("Relu", other))
    return x.named(b.op("Mul", low, b.op("Cast", both, to=b.elem_type)))


@block("vec", "seq")
def low_rank(b: Builder, x: Tensor) -> Tensor:
    """Add a product of two thin matrices, as an adapter does."""
    rank = b.between(1, 4)
    down = b.op("MatMul", x, weight(b, (x.channels, rank), fan_in=x.channels))
    up = b.op("MatMul", down, weight(b, (rank, x.channels), fan_in=rank))
    scaled = b.op("Mul", up, b.floats(0.5))
    return add(b, x, x.named(b.op("Add", scaled, bias(b, x.channels))))
