"""Blocks of normalisations, as one operator and decomposed."""

from __future__ import annotations

import math

import numpy as np

from onnxprune.testing.blocks.builder import ANY, MAPS, Builder, Tensor
from onnxprune.testing.blocks.layers import channels_first, channels_last, fit
from onnxprune.testing.blocks.registry import block
from onnxprune.testing.blocks.shaping import At, reshape
from onnxprune.testing.blocks.versioned import reduce
from onnxprune.testing.blocks.weights import bias, dressed, gain


def batch_norm(b: Builder, x: Tensor) -> Tensor:
    """Normalise with stored statistics."""
    size = (x.channels,)
    variance = dressed(b, b.rng.uniform(0.5, 1.5, size))
    operands = [gain(b, x.channels), bias(b, x.channels), bias(b, x.channels), variance]
    attributes: dict[str, float | int] = {"epsilon": 1e-3} if b.chance(0.7) else {}
    if b.opset >= 14 and b.chance(0.5):
        attributes["training_mode"] = 0
    return b.same("BatchNormalization", x, *operands, **attributes)


def _epsilon(b: Builder) -> str:
    """Return what keeps roots from zero; ONNX Runtime fuses double forms as if it were 1e-5."""
    return b.floats(1e-5 if b.setting.dtype == np.float64 else 1e-3)


def _affine(b: Builder, x: Tensor, *, shift: bool = True) -> Tensor:
    """Scale and shift by parameters along the channels."""
    trailing = (1,) * (len(x.shape) - 1 - x.axis)
    leading = (1,) * x.axis if b.chance(0.3) else ()
    shape = (*leading, x.channels, *trailing)
    scaled = b.same("Mul", x, gain(b, shape))
    return b.same("Add", scaled, bias(b, shape)) if shift else scaled


@block(*MAPS, "vec", floats="ef")
def batch_normalization(b: Builder, x: Tensor) -> Tensor:
    """BatchNormalization alone."""
    return batch_norm(b, x)


@block(*MAPS, floats="ef")
def affine(b: Builder, x: Tensor) -> Tensor:
    """A batch normalisation that an optimiser turned into Mul and Add."""
    return _affine(b, x)


@block(*MAPS, floats="ef")
def instance_normalization(b: Builder, x: Tensor) -> Tensor:
    """Normalise each channel over space."""
    return b.same("InstanceNormalization", x, gain(b, x.channels), bias(b, x.channels))


@block("plane", "cube", since=21, floats="ef")
def group_normalization(b: Builder, x: Tensor) -> Tensor:
    """GroupNormalization; before opset 21 it was deprecated."""
    groups = b.pick([1, 2, 4])
    x = fit(b, x, groups)
    operands = [gain(b, x.channels), bias(b, x.channels)]
    return b.same("GroupNormalization", x, *operands, num_groups=groups)


@block(*MAPS, floats="ef")
def group_normalization_spelled(b: Builder, x: Tensor) -> Tensor:
    """Group normalisation through InstanceNormalization of groups, as PyTorch exports it."""
    groups = b.pick([1, 2, 4])
    x = fit(b, x, groups)
    rest = x.channels // groups * math.prod(x.space)
    grouped = reshape(b, x, [At(0), groups, rest])
    ones = [b.floats(np.ones(groups)), b.floats(np.zeros(groups))]
    normal = b.op("InstanceNormalization", grouped, *ones)
    restored = reshape(b, grouped.named(normal), [At(i, x) for i in range(len(x.shape))])
    return _affine(b, x.named(restored.name))


@block("seq", "vec", since=17)
def layer_normalization(b: Builder, x: Tensor) -> Tensor:
    """LayerNormalization over the channels, with or without a bias."""
    operands = [gain(b, x.channels)]
    if b.chance(0.7):
        operands.append(bias(b, x.channels))
    return b.same("LayerNormalization", x, *operands, axis=-1 if b.chance(0.5) else x.axis)


@block(*MAPS, since=17)
def layer_normalization_of_map(b: Builder, x: Tensor) -> Tensor:
    """LayerNormalization over the channels of a map, between two Transposes."""
    last = channels_last(b, x)
    operands = [gain(b, x.channels), bias(b, x.channels)]
    return channels_first(b, b.same("LayerNormalization", last, *operands), x.layout)


@block("seq", "vec")
def layer_normalization_spelled(b: Builder, x: Tensor) -> Tensor:
    """Layer normalisation from means, powers and roots."""
    centred = b.op("Sub", x, reduce(b, "ReduceMean", x, axes=[-1], keep=True))
    by_power = b.chance(0.5)
    square = b.op("Pow", centred, b.floats(2.0)) if by_power else b.op("Mul", centred, centred)
    variance = reduce(b, "ReduceMean", square, axes=[-1], keep=True)
    deviation = b.op("Sqrt", b.op("Add", variance, _epsilon(b)))
    return _affine(b, x.named(b.op("Div", centred, deviation), rms=1.0))


@block("seq", "vec", since=23)
def rms_normalization(b: Builder, x: Tensor) -> Tensor:
    """RMSNormalization over the channels."""
    return b.same("RMSNormalization", x, gain(b, x.channels), axis=-1)


@block("seq", "vec")
def rms_normalization_spelled(b: Builder, x: Tensor) -> Tensor:
    """RMS normalisation as Llama's exporters write it."""
    square = b.op("Pow", x, b.floats(2.0))
    mean = reduce(b, "ReduceMean", square, axes=[-1], keep=True)
    root = b.op("Sqrt", b.op("Add", mean, _epsilon(b)))
    factor = b.op("Div", b.floats(1.0), root) if b.chance(0.5) else b.op("Reciprocal", root)
    return _affine(b, x.named(b.op("Mul", x, factor), rms=1.0), shift=False)


@block(*ANY)
def unit_length(b: Builder, x: Tensor) -> Tensor:
    """Divide by the length over the channels, as an operator or by hand."""
    if b.setting.dtype != np.float16 and b.chance(0.4):
        shifted = b.same("Add", x, b.floats(0.1))
        return b.same("LpNormalization", shifted, axis=x.axis, p=2)
    length = reduce(b, "ReduceL2", x, axes=[x.axis], keep=True)
    return x.named(b.op("Div", x, b.op("Add", length, b.floats(0.1))), rms=0.4)


@block("plane", floats="f")
def local_response(b: Builder, x: Tensor) -> Tensor:
    """LRN over neighbouring channels."""
    return b.same("LRN", x, size=b.pick([1, 3, 5]), alpha=0.01, beta=0.75, bias=1.0)


@block("plane", floats="f")
def mean_variance(b: Builder, x: Tensor) -> Tensor:
    """MeanVarianceNormalization over space, or over channels as well."""
    shifted = b.same("Add", x, b.floats(b.rng.normal(0.0, 0.5, (1, 1, *x.space))))
    axes = b.pick([[2, 3], [1, 2, 3]])
    return b.same("MeanVarianceNormalization", shifted, axes=axes).named(
        b.nodes[-1].output[0], rms=1.0
    )
