"""Evaluate small integer computations: the arithmetic exporters do on shapes.

Only tensors of at most `KNOWN_ELEMENTS` elements are ever produced, so no graph can make this
expensive. What is not in the table is simply unknown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from onnxprune.core.graph import Node

KNOWN_ELEMENTS = 1 << 14
"""Largest tensor whose content is tracked."""

Array = np.ndarray


def evaluate(node: Node, inputs: Sequence[Array | None]) -> tuple[Array, ...] | None:
    """Return the outputs of a node with known inputs, None when it is not evaluated.

    Args:
        node: the node.
        inputs: contents, None for inputs left out.
    """
    function = _FUNCTIONS.get(node.op) if not node.domain else None
    if function is None:
        return None
    try:
        with np.errstate(all="ignore"):
            result = function(node, *inputs)
    except (ArithmeticError, IndexError, TypeError, ValueError):
        return None
    if result is None:
        return None
    arrays = tuple(map(np.asarray, result if isinstance(result, tuple) else (result,)))
    return arrays if all(a.size <= KNOWN_ELEMENTS for a in arrays) else None


def _axes(node: Node, given: Array | None) -> list[int]:
    axes = given.tolist() if given is not None else node.attribute("axes", [])
    return [int(a) for a in np.atleast_1d(axes)]


def _unsqueeze(node: Node, data: Array, axes: Array | None = None) -> Array:
    return np.expand_dims(data, tuple(_axes(node, axes)))


def _split(node: Node, data: Array, given: Array | None = None) -> tuple[Array, ...]:
    axis = int(node.attribute("axis", 0))
    size, count = data.shape[axis], len(node.outputs)
    sizes = given.tolist() if given is not None else node.attribute("split")
    ends = np.cumsum(sizes) if sizes else np.arange(1, count + 1) * -(-size // count)
    return tuple(np.split(data, ends[:-1], axis))


def _squeeze(node: Node, data: Array, axes: Array | None = None) -> Array:
    chosen = _axes(node, axes)
    return np.squeeze(data, tuple(chosen) if chosen else None)


def _slice(
    node: Node,
    data: Array,
    starts: Array | None = None,
    ends: Array | None = None,
    axes: Array | None = None,
    steps: Array | None = None,
) -> Array:
    begin = starts.tolist() if starts is not None else node.attribute("starts")
    end = ends.tolist() if ends is not None else node.attribute("ends")
    dims = axes.tolist() if axes is not None else node.attribute("axes", list(range(len(begin))))
    stride = steps.tolist() if steps is not None else [1] * len(begin)
    index: list[slice] = [slice(None)] * data.ndim
    for a, b, e, s in zip(dims, begin, end, stride, strict=True):
        index[a] = slice_of(b, e, s, data.shape[a])
    return data[tuple(index)]


def slice_of(start: int, end: int, step: int, size: int) -> slice:
    """Return Python's slice for one axis of ONNX's Slice (clamping as ONNX does)."""
    if step > 0:
        low = max(start + size, 0) if start < 0 else min(start, size)
        high = max(end + size, 0) if end < 0 else min(end, size)
        return slice(low, max(low, high), step)
    low = max(start + size, 0) if start < 0 else min(start, size - 1)
    high = max(end + size, -1) if end < 0 else min(end, size - 1)
    return slice(low, high if high >= 0 else None, step) if low > high else slice(0, 0)


def _reshape(node: Node, data: Array, shape: Array | None = None) -> Array:
    target = shape.tolist() if shape is not None else node.attribute("shape")
    if not node.attribute("allowzero", 0):
        target = [data.shape[i] if t == 0 else t for i, t in enumerate(target)]
    return data.reshape(target)


def _cast(node: Node, data: Array) -> Array | None:
    kind = int(node.attribute("to"))
    if kind in (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BOOL) or (
        kind in (TensorProto.INT64, TensorProto.INT32, TensorProto.UINT8, TensorProto.INT8)
    ):
        return data.astype(helper.tensor_dtype_to_np_dtype(kind))
    return None


def _constant_of_shape(node: Node, shape: Array) -> Array | None:
    sizes = [int(s) for s in shape]
    total = 1
    for size in sizes:
        total *= size
        if size < 0 or total > KNOWN_ELEMENTS:
            return None
    value = node.attribute("value")
    fill = numpy_helper.to_array(value).ravel()[0] if value is not None else np.float32(0)
    return np.full(sizes, fill)


def _expand(_: Node, data: Array, shape: Array) -> Array | None:
    sizes = np.broadcast_shapes(data.shape, tuple(int(s) for s in shape))
    return np.broadcast_to(data, sizes) if _small(sizes) else None


def _tile(_: Node, data: Array, repeats: Array) -> Array | None:
    sizes = [int(s * r) for s, r in zip(data.shape, repeats, strict=True)]
    return np.tile(data, repeats.astype(np.int64)) if _small(sizes) else None


def _range(_: Node, start: Array, limit: Array, delta: Array) -> Array | None:
    steps = (limit.item() - start.item()) / delta.item()
    if steps > KNOWN_ELEMENTS:
        return None
    return np.arange(start.item(), limit.item(), delta.item()).astype(start.dtype)


def _small(sizes: Sequence[int]) -> bool:
    total = 1
    for size in sizes:
        total *= int(size)
        if total > KNOWN_ELEMENTS:
            return False
    return True


def _div(_: Node, a: Array, b: Array) -> Array:
    if np.issubdtype(a.dtype, np.integer):
        signed = np.any(a < 0) or np.any(b < 0)
        return np.asarray(np.trunc(a / b).astype(a.dtype) if signed else a // b)
    return np.asarray(a / b)


def _mod(node: Node, a: Array, b: Array) -> Array:
    return np.asarray(np.fmod(a, b) if node.attribute("fmod", 0) else np.mod(a, b))


def _reduce(function: Callable[..., Any]) -> Callable[..., Any]:
    def run(node: Node, data: Array, axes: Array | None = None) -> Array | None:
        chosen = tuple(_axes(node, axes))
        if not chosen and node.attribute("noop_with_empty_axes", 0):
            return data
        keep = bool(node.attribute("keepdims", 1))
        result = function(data, axis=chosen or None, keepdims=keep)
        return np.asarray(result).astype(data.dtype)

    return run


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda _, *inputs: function(*inputs)


def _fold(function: Callable[..., Any]) -> Callable[..., Any]:
    def run(_: Node, *inputs: Array) -> Array:
        result = inputs[0]
        for other in inputs[1:]:
            result = function(result, other)
        return result

    return run


def _gather(node: Node, data: Array, indices: Array) -> Array | None:
    axis = int(node.attribute("axis", 0))
    size = indices.size * max(1, data.size // max(1, data.shape[axis]))
    return np.take(data, indices, axis) if size <= KNOWN_ELEMENTS else None


def _clip(node: Node, data: Array, low: Array | None = None, high: Array | None = None) -> Array:
    floor = node.attribute("min") if low is None else low
    ceiling = node.attribute("max") if high is None else high
    raised = data if floor is None else np.maximum(data, floor)
    return np.asarray(raised if ceiling is None else np.minimum(raised, ceiling)).astype(data.dtype)


def _cumsum(node: Node, data: Array, axis: Array) -> Array | None:
    if node.attribute("exclusive", 0) or node.attribute("reverse", 0):
        return None
    return np.cumsum(data, int(axis.ravel()[0]), dtype=data.dtype)


def _one_hot(node: Node, indices: Array, depth: Array, values: Array) -> Array | None:
    count = int(depth.ravel()[0])
    if not _small((*indices.shape, count)):
        return None
    axis = int(node.attribute("axis", -1)) % (indices.ndim + 1)
    places = np.expand_dims(np.where(indices < 0, indices + count, indices), axis)
    counted = np.arange(count).reshape(-1, *(1,) * (indices.ndim - axis))
    return np.asarray(np.where(places == counted, values[1], values[0]))


def _scatter_nd(node: Node, data: Array, indices: Array, updates: Array) -> Array | None:
    if node.attribute("reduction", "none") != "none":
        return None
    result: Array = data.copy()
    result[tuple(np.moveaxis(indices, -1, 0))] = updates
    return result


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "Abs": _plain(np.abs),
    "Add": _plain(np.add),
    "And": _plain(np.logical_and),
    "Cast": _cast,
    "Ceil": _plain(np.ceil),
    "Clip": _clip,
    "Concat": lambda n, *xs: np.concatenate(xs, axis=int(n.attribute("axis"))),
    "ConstantOfShape": _constant_of_shape,
    "CumSum": _cumsum,
    "Div": _div,
    "Equal": _plain(np.equal),
    "Expand": _expand,
    "Flatten": lambda n, x: x.reshape(int(np.prod(x.shape[: n.attribute("axis", 1)])), -1),
    "Floor": _plain(np.floor),
    "Gather": _gather,
    "Greater": _plain(np.greater),
    "GreaterOrEqual": _plain(np.greater_equal),
    "Identity": _plain(np.asarray),
    "Less": _plain(np.less),
    "LessOrEqual": _plain(np.less_equal),
    "Max": _fold(np.maximum),
    "Min": _fold(np.minimum),
    "Mod": _mod,
    "Mul": _plain(np.multiply),
    "Neg": _plain(np.negative),
    "Not": _plain(np.logical_not),
    "NonZero": lambda _, x: np.array(np.nonzero(x), np.int64),
    "OneHot": _one_hot,
    "Or": _plain(np.logical_or),
    "Pow": lambda _, a, b: np.power(a, b).astype(a.dtype),
    "Range": _range,
    "Reciprocal": _plain(np.reciprocal),
    "ReduceMax": _reduce(np.max),
    "ReduceMin": _reduce(np.min),
    "ReduceProd": _reduce(np.prod),
    "ReduceSum": _reduce(np.sum),
    "Reshape": _reshape,
    "Round": _plain(np.rint),
    "ScatterND": _scatter_nd,
    "Slice": _slice,
    "Split": _split,
    "Sqrt": _plain(np.sqrt),
    "Squeeze": _squeeze,
    "Sub": _plain(np.subtract),
    "Tile": _tile,
    "Transpose": lambda n, x: np.transpose(x, n.attribute("perm", None)),
    "Unsqueeze": _unsqueeze,
    "Where": _plain(np.where),
}
