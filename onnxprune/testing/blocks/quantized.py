"""Blocks of quantised arithmetic; none is smooth, since rounding jumps."""

from __future__ import annotations

import numpy as np

from onnxprune.testing.blocks.builder import ANY, MAPS, Builder, Tensor
from onnxprune.testing.blocks.registry import block


def _points(b: Builder, *, signed: bool) -> list[str]:
    """Make the scale and zero point of an activation."""
    scale = b.constant(np.asarray(0.05, dtype=np.float32))
    point = np.asarray(b.between(-3, 3), dtype=np.int8) if signed else np.asarray(128, np.uint8)
    return [scale, b.constant(point)]


@block(*ANY, since=10, floats="f", smooth=False)
def quantize_dequantize(b: Builder, x: Tensor) -> Tensor:
    """Quantise an activation and take it back, per tensor or per channel."""
    if b.opset >= 13 and x.layout in MAPS and b.chance(0.4):
        size = x.channels
        scales = b.constant(b.rng.uniform(0.03, 0.06, size).astype(np.float32))
        parameters = [scales, b.constant(np.zeros(size, dtype=np.int8))]
        axis = {"axis": x.axis}
    else:
        parameters, axis = _points(b, signed=b.chance(0.5)), {}
    stored = b.op("QuantizeLinear", x, *parameters, **axis)
    return x.named(b.op("DequantizeLinear", stored, *parameters, **axis))


def _kernel(b: Builder, shape: tuple[int, ...]) -> tuple[str, str, str]:
    """Make an int8 weight with one scale per output channel, or one for all."""
    values = b.rng.integers(-127, 128, shape).astype(np.int8)
    size = (shape[0],) if b.chance(0.6) else ()
    fan_in = int(np.prod(shape[1:]))
    scale = b.rng.uniform(0.7, 1.3, size) / (74.0 * fan_in**0.5)
    stored = b.initializer(values)
    scales = b.constant(np.asarray(scale, dtype=np.float32))
    return stored, scales, b.constant(np.zeros(size, dtype=np.int8))


@block(*MAPS, since=10, floats="f", smooth=False)
def qlinear_conv(b: Builder, x: Tensor) -> Tensor:
    """QLinearConv between QuantizeLinear and DequantizeLinear."""
    width = b.width()
    entry, leave = _points(b, signed=False), _points(b, signed=False)
    stored = b.op("QuantizeLinear", x, *entry)
    kernel = _kernel(b, (width, x.channels, *(1 for _ in x.space)))
    operands = [stored, *entry, *kernel, *leave]
    if b.chance(0.5):
        operands.append(b.constant(b.rng.integers(-50, 50, width).astype(np.int32)))
    return x.resized(b.op("DequantizeLinear", b.op("QLinearConv", *operands), *leave), width)


@block("vec", "seq", since=10, floats="f", smooth=False)
def qlinear_matmul(b: Builder, x: Tensor) -> Tensor:
    """QLinearMatMul between QuantizeLinear and DequantizeLinear."""
    width = b.width()
    entry, leave = _points(b, signed=False), _points(b, signed=False)
    stored = b.op("QuantizeLinear", x, *entry)
    values = b.rng.integers(-127, 128, (x.channels, width)).astype(np.int8)
    scale = np.asarray(1.0 / (74.0 * x.channels**0.5), dtype=np.float32)
    matrix = [b.initializer(values), b.constant(scale), b.constant(np.asarray(0, dtype=np.int8))]
    name = b.op("QLinearMatMul", stored, *entry, *matrix, *leave)
    return x.resized(b.op("DequantizeLinear", name, *leave), width)


@block("vec", "seq", since=11, floats="f", smooth=False)
def dynamic_matmul(b: Builder, x: Tensor) -> Tensor:
    """DynamicQuantizeLinear, MatMulInteger, and the scales multiplied in afterwards."""
    width = b.width()
    stored, scale, point = b.node("DynamicQuantizeLinear", x, outputs=3)
    per_column = b.chance(0.5)
    values = b.rng.integers(-127, 128, (x.channels, width)).astype(np.int8)
    size = (width,) if per_column else ()
    factor = b.rng.uniform(0.7, 1.3, size) / (74.0 * x.channels**0.5)
    zero = b.constant(np.zeros(size, dtype=np.int8))
    total = b.op("MatMulInteger", stored, b.initializer(values), point, zero)
    both = b.op("Mul", scale, b.constant(np.asarray(factor, dtype=np.float32)))
    return x.resized(b.op("Mul", b.op("Cast", total, to=1), both), width)


@block("plane", since=11, floats="f", smooth=False)
def dynamic_conv(b: Builder, x: Tensor) -> Tensor:
    """DynamicQuantizeLinear and ConvInteger."""
    width = b.width()
    stored, scale, point = b.node("DynamicQuantizeLinear", x, outputs=3)
    values = b.rng.integers(0, 255, (width, x.channels, 1, 1)).astype(np.uint8)
    zero = b.constant(np.asarray(128, dtype=np.uint8))
    total = b.op("ConvInteger", stored, b.initializer(values), point, zero)
    factor = b.constant(np.asarray(1.0 / (74.0 * x.channels**0.5), dtype=np.float32))
    both = b.op("Mul", scale, factor)
    return x.resized(b.op("Mul", b.op("Cast", total, to=1), both), width)
