"""Blocks of convolutions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from onnxprune.testing.blocks.builder import MAPS, Builder, Tensor
from onnxprune.testing.blocks.layers import (
    activate,
    add,
    channels_first,
    fit,
    nonlinear,
    project,
    slim,
    transpose,
)
from onnxprune.testing.blocks.normalization import batch_norm
from onnxprune.testing.blocks.pooling import squeeze_excite
from onnxprune.testing.blocks.registry import block
from onnxprune.testing.blocks.shaping import At, Size, reshape
from onnxprune.testing.blocks.versioned import pad, reduce, unsqueeze
from onnxprune.testing.blocks.weights import bias, plain, weight

if TYPE_CHECKING:
    from collections.abc import Sequence


def convolve(
    b: Builder, x: Tensor, width: int, *, groups: int = 1, keep_space: bool = False
) -> Tensor:
    """Append a convolution of random geometry that the space of `x` allows."""
    kernel, dilations, strides, pads, space = [], [], [], [], []
    for size in x.space:
        k = b.pick([1, 2, 3, 3]) if not keep_space else b.pick([1, 3])
        d = 2 if k > 1 and size >= 5 and b.chance(0.2) else 1
        extent = d * (k - 1) + 1
        total = extent - 1 if keep_space or size < extent else b.pick([extent - 1, 0, 1])
        s = 2 if not keep_space and size >= 4 and b.chance(0.25) else 1
        kernel.append(k)
        dilations.append(d)
        strides.append(s)
        pads.append((total // 2, total - total // 2))
        space.append((size + total - extent) // s + 1)
    attributes: dict[str, Sequence[int] | int | str] = {"kernel_shape": kernel}
    if max(strides) > 1 or b.chance(0.5):
        attributes["strides"] = strides
    if max(dilations) > 1 or b.chance(0.5):
        attributes["dilations"] = dilations
    if groups > 1 or b.chance(0.5):
        attributes["group"] = groups
    simple = all(k == 3 for k in kernel) and max(strides + dilations) == 1
    attributes.update(_padding(b, pads, simple=simple))
    fan_in = x.channels // groups * math.prod(kernel)
    operands = [weight(b, (width, x.channels // groups, *kernel), fan_in=fan_in)]
    if b.chance(0.6):
        operands.append(bias(b, width))
    return x.resized(b.op("Conv", x, *operands, **attributes), width, space=space)


def _padding(
    b: Builder, pads: Sequence[tuple[int, int]], *, simple: bool
) -> dict[str, Sequence[int] | str]:
    """Spell the padding out or, where it is the same, by name."""
    if not any(map(sum, pads)) and b.chance(0.5):
        return b.pick([{}, {"auto_pad": "VALID"}, {"auto_pad": "NOTSET"}])
    if simple and all(p == (1, 1) for p in pads) and b.chance(0.3):
        return {"auto_pad": b.pick(["SAME_UPPER", "SAME_LOWER"])}
    return {"pads": [p for p, _ in pads] + [p for _, p in pads]}


@block(*MAPS, floats="ef")
def conv(b: Builder, x: Tensor) -> Tensor:
    """Any dense convolution."""
    return convolve(b, x, b.width())


@block(*MAPS, floats="ef")
def conv_norm_activation(b: Builder, x: Tensor) -> Tensor:
    """The usual triple."""
    return activate(b, batch_norm(b, convolve(b, x, b.width())))


@block(*MAPS, floats="ef")
def conv_grouped(b: Builder, x: Tensor) -> Tensor:
    """A convolution with two to four groups."""
    groups = b.pick([2, 2, 3, 4])
    x = fit(b, x, groups)
    return convolve(b, x, groups * b.between(1, 4), groups=groups)


@block(*MAPS, floats="ef")
def conv_depthwise(b: Builder, x: Tensor) -> Tensor:
    """One filter per channel, sometimes two or three."""
    x = slim(b, x, 12)
    return convolve(b, x, x.channels * b.pick([1, 1, 2, 3]), groups=x.channels)


@block(*MAPS, floats="ef")
def conv_transpose(b: Builder, x: Tensor) -> Tensor:
    """A transposed convolution, dense or grouped or depthwise."""
    groups = b.pick([1, 1, 2, 4, x.channels])
    x = slim(b, fit(b, x, groups), 24)
    groups = math.gcd(groups, x.channels)
    per_group = b.between(1, max(1, 12 // groups))
    kernel, strides, pads, extra, space = [], [], [], [], []
    for size in x.space:
        s = b.pick([1, 2]) if size <= 4 else 1
        k = b.pick([2, 3]) if size > 1 else 3
        p = b.pick([0, 1]) if k == 3 and size > 1 else 0
        e = b.pick([0, 1]) if s == 2 else 0
        kernel.append(k)
        strides.append(s)
        pads.append(p)
        extra.append(e)
        space.append(s * (size - 1) + k - 2 * p + e)
    attributes: dict[str, list[int] | int] = {"kernel_shape": kernel, "strides": strides}
    if b.chance(0.2) and not any(pads):
        attributes["output_shape"] = [size - e for size, e in zip(space, extra, strict=True)]
        space = [size - e for size, e in zip(space, extra, strict=True)]
    else:
        attributes.update({"pads": pads + pads, "output_padding": extra})
    if groups > 1 or b.chance(0.5):
        attributes["group"] = groups
    fan_in = max(1, x.channels // groups * math.prod(kernel) // math.prod(strides))
    operands = [weight(b, (x.channels, per_group, *kernel), fan_in=fan_in)]
    if b.chance(0.5):
        operands.append(bias(b, per_group * groups))
    name = b.op("ConvTranspose", x, *operands, **attributes)
    return x.resized(name, per_group * groups, space=space)


@block(*MAPS, floats="ef")
def residual_bottleneck(b: Builder, x: Tensor) -> Tensor:
    """Reduce, convolve, expand and add, as a ResNet does."""
    inner = nonlinear(b, batch_norm(b, project(b, x, b.width())))
    inner = nonlinear(b, batch_norm(b, convolve(b, inner, b.width(), keep_space=True)))
    return nonlinear(b, add(b, batch_norm(b, project(b, inner, x.channels)), x))


@block(*MAPS, floats="ef")
def inverted_residual(b: Builder, x: Tensor) -> Tensor:
    """Expand, convolve depthwise, squeeze and excite, reduce and add, as a MobileNet does."""
    inner = activate(b, batch_norm(b, project(b, x, b.width() + b.pick([0, 4]))))
    inner = convolve(b, inner, inner.channels, groups=inner.channels, keep_space=True)
    inner = activate(b, batch_norm(b, inner))
    if b.chance(0.5):
        inner = squeeze_excite(b, inner)
    return add(b, project(b, inner, x.channels), x)


@block(*MAPS, floats="ef")
def conv_twice(b: Builder, x: Tensor) -> Tensor:
    """The same kernel, or only the same bias, applied two times."""
    x = slim(b, x)
    ones = [1 for _ in x.space]
    kernel = weight(b, (x.channels, x.channels, *ones), fan_in=x.channels)
    shift = bias(b, x.channels)
    once = nonlinear(b, b.same("Conv", x, kernel, shift))
    if b.chance(0.4):
        kernel = weight(b, (x.channels, x.channels, *ones), fan_in=x.channels)
    return b.same("Conv", once, kernel, shift)


@block(*MAPS, floats="ef")
def conv_weight_norm(b: Builder, x: Tensor) -> Tensor:
    """A kernel computed in the graph as gain * direction / length."""
    width = b.width()
    shape = (width, x.channels, *(1 for _ in x.space))
    direction = plain(b, b.rng.normal(0.0, 1.0, shape))
    axes = list(range(1, len(shape)))
    length = reduce(b, "ReduceL2", direction, axes=axes, keep=True)
    unit = b.op("Div", direction, b.op("Add", length, b.floats(1e-3)))
    factor = plain(b, b.rng.uniform(0.6, 1.4, (width, *(1 for _ in axes))))
    return x.resized(b.op("Conv", x, b.op("Mul", unit, factor)), width)


@block(*MAPS, floats="ef")
def dense_block(b: Builder, x: Tensor) -> Tensor:
    """Let every layer see all earlier ones through a Concat, as a DenseNet does."""
    for _ in range(b.between(2, 3)):
        grown = convolve(b, nonlinear(b, batch_norm(b, x)), b.pick([2, 4]), keep_space=True)
        x = x.resized(b.op("Concat", x, grown, axis=1), x.channels + grown.channels)
    return x


@block(*MAPS, floats="ef")
def inception(b: Builder, x: Tensor) -> Tensor:
    """Concatenate parallel branches of different depth."""
    branches = [nonlinear(b, project(b, x, b.between(2, 6))) for _ in range(b.between(2, 3))]
    branches[-1] = convolve(b, branches[-1], b.between(2, 6), keep_space=True)
    total = sum(branch.channels for branch in branches)
    return x.resized(b.op("Concat", *branches, axis=1), total)


@block(*MAPS, floats="ef")
def ghost(b: Builder, x: Tensor) -> Tensor:
    """Concatenate features with a cheap depthwise view of themselves, as a GhostNet does."""
    first = nonlinear(b, project(b, x, b.pick([3, 4, 6])))
    cheap = convolve(b, first, first.channels, groups=first.channels, keep_space=True)
    return x.resized(b.op("Concat", first, cheap, axis=1), 2 * first.channels)


@block("seq", floats="ef")
def causal_conv(b: Builder, x: Tensor) -> Tensor:
    """Convolve along the sequence without looking ahead."""
    width, kernel = b.width(), b.pick([2, 3])
    depthwise = b.chance(0.4)
    width = x.channels if depthwise else width
    first = transpose(b, x, [0, 2, 1])
    shape = (width, 1 if depthwise else x.channels, kernel)
    operands = [weight(b, shape, fan_in=kernel * shape[1])]
    if b.chance(0.5):
        operands.append(bias(b, width))
    group = x.channels if depthwise else 1
    if b.chance(0.5):
        padded = pad(b, first, [0, 0, kernel - 1, 0, 0, 0], mode="constant")
        name = b.op("Conv", padded, *operands, group=group)
    else:
        name = b.op("Conv", first, *operands, group=group, pads=[kernel - 1, 0])
    moved = Tensor(name, (x.shape[0], width, x.shape[1]), "raw", x.rms)
    return transpose(b, moved, [0, 2, 1], "seq")


@block("plane", floats="ef")
def patch_embed(b: Builder, x: Tensor) -> Tensor:
    """Turn patches of a plane into a sequence of tokens."""
    width = b.width()
    kernel = [2 if size >= 2 else 1 for size in x.space]
    fan_in = x.channels * math.prod(kernel)
    operands = [weight(b, (width, x.channels, *kernel), fan_in=fan_in), bias(b, width)]
    space = [size // k for size, k in zip(x.space, kernel, strict=True)]
    name = b.op("Conv", x, *operands, kernel_shape=kernel, strides=kernel)
    patches = x.resized(name, width, space=space)
    tokens = reshape(b, patches, [At(0), At(1), Size((At(2), At(3)))])
    return transpose(b, tokens, [0, 2, 1], "seq")


@block("plane", floats="ef")
def conv_next(b: Builder, x: Tensor) -> Tensor:
    """Depthwise convolution, then a channels-last MLP with a layer scale, and add."""
    inner = convolve(b, x, x.channels, groups=x.channels, keep_space=True)
    last = transpose(b, inner, [0, 2, 3, 1])
    hidden = b.width()
    grown = b.op("MatMul", last, weight(b, (x.channels, hidden), fan_in=x.channels))
    grown = b.op("Relu", b.op("Add", grown, bias(b, hidden)))
    shrunk = b.op("MatMul", grown, weight(b, (hidden, x.channels), fan_in=hidden))
    scaled = b.op("Mul", shrunk, plain(b, b.rng.uniform(0.2, 0.6, (x.channels,))))
    first = channels_first(b, Tensor(scaled, last.shape, "raw", x.rms), "plane")
    return add(b, first, x)


@block("plane", floats="ef")
def conv_of_computed_kernel(b: Builder, x: Tensor) -> Tensor:
    """A kernel that a small matrix product makes from two factors."""
    width, rank = b.width(), b.between(2, 4)
    left = weight(b, (width, rank), fan_in=rank)
    right = weight(b, (rank, x.channels), fan_in=x.channels)
    kernel = unsqueeze(b, b.op("MatMul", left, right), [2, 3])
    return x.resized(b.op("Conv", x, kernel), width)
