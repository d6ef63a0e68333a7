"""Blocks that change the size of space."""

from __future__ import annotations

import numpy as np

from onnxprune.testing.blocks.builder import MAPS, Builder, Tensor
from onnxprune.testing.blocks.layers import add, evened, halved, nonlinear, project
from onnxprune.testing.blocks.registry import block
from onnxprune.testing.blocks.shaping import At, shape_vector
from onnxprune.testing.blocks.versioned import cut, pad, upsample


@block(*MAPS)
def pad_space(b: Builder, x: Tensor) -> Tensor:
    """Pad space with a constant, by reflection or by the edge."""
    mode = b.pick(["constant", "reflect", "edge"]) if x.layout == "plane" else "constant"
    if min(x.space) < 2 or max(x.space) > 8:
        mode = "constant"
    before = [b.between(0, 1) for _ in x.space]
    after = [b.between(0, 1) for _ in x.space]
    value = b.pick([0.0, 0.3]) if mode == "constant" else 0.0
    name = pad(b, x, [0, 0, *before, 0, 0, *after], mode=mode, value=value)
    space = [size + i + j for size, i, j in zip(x.space, before, after, strict=True)]
    return x.resized(name, x.channels, space=space)


@block("plane")
def crop_space(b: Builder, x: Tensor) -> Tensor:
    """Slice a region of space."""
    space = [max(1, size - b.between(0, 2)) for size in x.space]
    name = cut(b, cut(b, x, 2, slice(0, space[0])), 3, slice(x.space[1] - space[1], None))
    return x.resized(name, x.channels, space=space)


@block("plane", floats="ef")
def resize_by_factor(b: Builder, x: Tensor) -> Tensor:
    """Resize or upsample by a factor."""
    x = halved(b, x)
    if min(x.space) < 2:
        return x
    name = upsample(b, x, [1.0, 1.0, 2.0, 2.0], mode=b.pick(["nearest", "linear"]))
    return x.resized(name, x.channels, space=[2 * size for size in x.space])


@block("plane", since=11, floats="ef")
def resize_to_size(b: Builder, x: Tensor) -> Tensor:
    """Resize to sizes whose batch and channels are taken from Shape, or given by axes."""
    space = [b.between(2, 6) for _ in x.space]
    empty = b.constant(np.zeros(0, dtype=np.float32)) if b.opset < 13 else ""
    attributes: dict[str, str | list[int]] = {"mode": b.pick(["nearest", "linear", "cubic"])}
    if b.opset >= 18 and b.chance(0.4):
        sizes = b.ints(space)
        attributes["axes"] = [2, 3]
    elif isinstance(x.shape[0], int) and b.chance(0.5):
        sizes = b.ints([x.shape[0], x.channels, *space])
    elif b.chance(0.5):
        sizes = shape_vector(b, x, [At(0), At(1), *space])
    else:
        head = cut(b, b.op("Shape", x), 0, slice(0, 2))
        sizes = b.op("Concat", head, b.ints(space), axis=0)
    name = b.op("Resize", x, empty, empty, sizes, **attributes)
    return x.resized(name, x.channels, space=space)


@block("plane", floats="ef")
def resize_like(b: Builder, x: Tensor) -> Tensor:
    """Shrink, convolve, enlarge to the size of the input and add, as a pyramid does."""
    x = evened(b, x)
    if any(size % 2 for size in x.space):
        return x
    half = [size // 2 for size in x.space]
    small = b.op("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
    inner = nonlinear(b, project(b, x.resized(small, x.channels, space=half), x.channels))
    name = upsample(b, inner, [1.0, 1.0, 2.0, 2.0], mode="nearest")
    return add(b, x.named(name), x)


@block("plane", since=16, floats="f")
def sample_grid(b: Builder, x: Tensor) -> Tensor:
    """Sample the plane at constant coordinates expanded over the batch."""
    height, width = b.between(2, 4), b.between(2, 4)
    grid = b.floats(b.rng.uniform(-1.0, 1.0, (1, height, width, 2)))
    wanted = shape_vector(b, x, [At(0), height, width, 2])
    mode = "bilinear" if b.opset < 20 else "linear"
    name = b.op("GridSample", x, b.op("Expand", grid, wanted), mode=mode)
    return x.resized(name, x.channels, space=[height, width])


@block("plane", since=18, floats="f")
def centre_crop(b: Builder, x: Tensor) -> Tensor:
    """CenterCropPad over space."""
    space = [b.between(2, 8) for _ in x.space]
    name = b.op("CenterCropPad", x, b.ints(space), axes=[2, 3])
    return x.resized(name, x.channels, space=space)
