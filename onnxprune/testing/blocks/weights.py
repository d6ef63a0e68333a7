"""Parameters, plain or behind the operators that exporters and optimisers leave before them.

`weight` returns the name of a value of exactly the wanted shape; whether it is an initializer, a
Constant, shared with another layer, or computed by a Transpose, Reshape, Cast, DequantizeLinear...
is chosen at random.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from onnx import helper, numpy_helper

from onnxprune.testing.blocks.versioned import cut, unsqueeze

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from onnxprune.testing.blocks.builder import Builder

Array = "NDArray[np.floating]"


def weight(b: Builder, shape: Sequence[int], *, fan_in: int) -> str:
    """Add a weight that keeps the size of what it is multiplied with."""
    key = tuple(shape)
    if not b.in_function and key in b.shareable and b.chance(0.06):
        return b.pick(b.shareable[key])
    return dressed(b, b.rng.normal(0.0, 1.0 / math.sqrt(fan_in), key))


def bias(b: Builder, shape: Sequence[int] | int) -> str:
    """Add a small bias."""
    size = (shape,) if isinstance(shape, int) else tuple(shape)
    if not b.in_function and size in b.shareable and b.chance(0.08):
        return b.pick(b.shareable[size])
    values = b.rng.normal(0.0, 0.2, size)
    return dressed(b, values) if b.chance(0.5) else plain(b, values)


def gain(b: Builder, shape: Sequence[int] | int) -> str:
    """Add a positive factor around one."""
    size = (shape,) if isinstance(shape, int) else tuple(shape)
    values = b.rng.uniform(0.6, 1.4, size)
    return dressed(b, values) if b.chance(0.3) else plain(b, values)


def plain(b: Builder, values: NDArray[np.floating]) -> str:
    """Add an initializer, or a Constant where there can be none."""
    array = values.astype(b.setting.dtype)
    if b.in_function or (b.depth and b.setting.ir_version < 4):
        return b.constant(array)
    outermost = not b.depth or b.chance(0.5)
    name = b.initializer(array, outermost=outermost)
    if outermost and array.ndim:
        b.shareable.setdefault(array.shape, []).append(name)
    return name


def dressed(b: Builder, values: NDArray[np.floating]) -> str:
    """Add a parameter, sometimes behind something."""
    if not b.chance(b.setting.dressing):
        return plain(b, values)
    usable = [dress for dress in _DRESSES if not (b.in_function and dress in _OUTER)]
    return b.pick(usable)(b, values) or plain(b, values)


def _constant_node(b: Builder, values: NDArray[np.floating]) -> str:
    array = np.ascontiguousarray(values.astype(b.setting.dtype)).reshape(values.shape)
    return b.op("Constant", value=numpy_helper.from_array(array))


def _identity(b: Builder, values: NDArray[np.floating]) -> str:
    return b.op("Identity", plain(b, values))


def _transpose(b: Builder, values: NDArray[np.floating]) -> str:
    if not values.ndim:
        return ""  # an empty list is no attribute
    order = [int(i) for i in b.rng.permutation(values.ndim)]
    return b.op("Transpose", plain(b, np.transpose(values, np.argsort(order))), perm=order)


def _flat(b: Builder, values: NDArray[np.floating]) -> str:
    wanted = list(values.shape)
    if len(wanted) > 1 and b.chance(0.5):
        wanted[b.between(0, len(wanted) - 1)] = -1
    line = b.chance(0.5) or not values.ndim
    stored = values.reshape(-1) if line else values.reshape(values.shape[0], -1)
    return b.op("Reshape", plain(b, stored), b.ints(wanted))


def _cast(b: Builder, values: NDArray[np.floating]) -> str:
    if b.setting.dtype == np.float64:
        return ""  # ONNX Runtime's fusions mix up the two types
    other = np.dtype(b.pick([np.float16, np.float64, np.float32]))
    return b.op("Cast", b.initializer(values.astype(other)), to=b.elem_type)


def _dequantized(b: Builder, values: NDArray[np.floating]) -> str:
    """Store int8 or uint8 with one scale, or one per index of an axis."""
    if b.opset < 10 or b.setting.dtype != np.float32 or values.ndim == 0:
        return ""
    # With quantised activations about, ONNX Runtime fuses some products per axis wrongly.
    per_axis = b.opset >= 13 and not b.has("QuantizeLinear") and b.chance(0.7)
    axis = b.between(0, min(1, values.ndim - 1)) if per_axis else None
    others = tuple(i for i in range(values.ndim) if i != axis)
    peak = np.abs(values).max(axis=None if axis is None else others, keepdims=axis is not None)
    scale = np.asarray(np.maximum(peak, 1e-3) / 127.0, dtype=np.float32)
    signed = b.chance(0.6)
    kind, offset = (np.int8, 0) if signed else (np.uint8, 128)
    stored = np.clip(np.rint(values / scale) + offset, -127 if signed else 0, 255 - 128 * signed)
    # ONNX Runtime's optimiser fails where an inner graph captures any of the three.
    operands = [
        b.initializer(stored.astype(kind), outermost=not b.depth),
        b.initializer(scale.reshape(() if axis is None else -1), outermost=not b.depth),
    ]
    if not signed or b.chance(0.5):
        points = np.full(() if axis is None else scale.size, offset, dtype=kind)
        operands.append(b.initializer(points, outermost=not b.depth))
    attributes = {} if axis is None else {"axis": axis}
    return b.op("DequantizeLinear", *operands, **attributes)


def _squeezed(b: Builder, values: NDArray[np.floating]) -> str:
    """Store without the axes of size one and put them back."""
    ones = [i for i, size in enumerate(values.shape) if size == 1]
    if not ones or len(ones) == values.ndim:
        return ""
    return unsqueeze(b, plain(b, values.squeeze(tuple(ones))), ones)


def _scaled(b: Builder, values: NDArray[np.floating]) -> str:
    """Multiply by a factor per index of the first axis, as weight normalisation does."""
    if values.ndim == 0:
        return ""
    shape = (values.shape[0],) + (1,) * (values.ndim - 1)
    factor = b.rng.uniform(0.7, 1.3, shape if b.chance(0.7) else ())
    return b.op("Mul", *b.shuffled(plain(b, values), b.floats(factor)))


def _joined(b: Builder, values: NDArray[np.floating]) -> str:
    """Concatenate two stored parts."""
    axes = [i for i, size in enumerate(values.shape) if size > 1]
    if not axes:
        return ""
    axis = b.pick(axes)
    where = b.between(1, values.shape[axis] - 1)
    first, second = np.split(values, [where], axis=axis)
    return b.op("Concat", plain(b, first), plain(b, second), axis=axis)


def _part(b: Builder, values: NDArray[np.floating]) -> str:
    """Slice or gather the parameter out of a larger one."""
    if values.ndim == 0:
        return ""
    axis = b.between(0, values.ndim - 1)
    extra = list(values.shape)
    extra[axis] = b.between(1, 3)
    larger = plain(b, np.concatenate([b.rng.normal(0.0, 0.5, extra), values], axis=axis))
    if b.chance(0.5):
        return cut(b, larger, axis, slice(extra[axis], None))
    wanted = range(extra[axis], extra[axis] + values.shape[axis])
    return b.op("Gather", larger, b.ints(list(wanted)), axis=axis)


def _overridable(b: Builder, values: NDArray[np.floating]) -> str:
    """Declare the initializer as a graph input as well, a default that a caller may replace."""
    name = b.initializer(values.astype(b.setting.dtype))
    b.inputs.append(helper.make_tensor_value_info(name, b.elem_type, list(values.shape)))
    return name


def _sparse(b: Builder, values: NDArray[np.floating]) -> str:
    """Store a matrix as a sparse initializer with some elements left out."""
    if values.ndim != 2 or b.setting.dtype != np.float32 or b.opset < 11 or b.chance(0.5):
        return ""
    flat = values.astype(np.float32).reshape(-1)
    where = np.flatnonzero(b.rng.random(flat.size) < 0.8).astype(np.int64)
    if not where.size:
        return ""
    name = b.fresh("sparse")
    b.sparse.append(
        helper.make_sparse_tensor(
            numpy_helper.from_array(flat[where], name),
            numpy_helper.from_array(where, f"{name}_indices"),
            list(values.shape),
        )
    )
    return name


_DRESSES: list[Callable[[Builder, NDArray[np.floating]], str]] = [
    _constant_node,
    _identity,
    _transpose,
    _flat,
    _cast,
    _dequantized,
    _squeezed,
    _scaled,
    _joined,
    _part,
    _overridable,
    _sparse,
]
_OUTER = {_cast, _dequantized, _overridable, _sparse}
