"""Operators whose form depends on the opset, written once for all versions.

Each function appends the node (and its constant operands) in the form that the model's opset wants.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnxprune.testing.blocks.builder import Builder, Tensor

_END = 2**63 - 1
_REDUCTIONS_WITH_INPUT = {"ReduceSum": 13}


def squeeze(b: Builder, x: str | Tensor, axes: Sequence[int]) -> str:
    """Remove axes of size one."""
    if b.opset < 13:
        return b.op("Squeeze", x, axes=list(axes))
    return b.op("Squeeze", x, b.ints(list(axes)))


def unsqueeze(b: Builder, x: str | Tensor, axes: Sequence[int]) -> str:
    """Insert axes of size one."""
    if b.opset < 13:
        return b.op("Unsqueeze", x, axes=list(axes))
    return b.op("Unsqueeze", x, b.ints(list(axes)))


def reduce(b: Builder, op_type: str, x: str | Tensor, *, axes: Sequence[int], keep: bool) -> str:
    """Reduce over axes."""
    if b.opset < _REDUCTIONS_WITH_INPUT.get(op_type, 18):
        return b.op(op_type, x, axes=list(axes), keepdims=int(keep))
    return b.op(op_type, x, b.ints(list(axes)), keepdims=int(keep))


def cut(b: Builder, x: str | Tensor, axis: int, part: slice) -> str:
    """Take part of an axis; a slice without a stop includes the last index."""
    start, step = part.start, part.step or 1
    end = part.stop if part.stop is not None else (_END if step > 0 else -_END)
    if b.opset < 10:
        assert step == 1
        return b.op("Slice", x, starts=[start], ends=[end], axes=[axis])
    operands = [b.ints([start]), b.ints([end]), b.ints([axis])]
    if step != 1 or b.chance(0.3):
        operands.append(b.ints([step]))
    return b.op("Slice", x, *operands)


def split(b: Builder, x: str | Tensor, sizes: Sequence[int], axis: int) -> list[str]:
    """Cut a value into parts; equal parts sometimes leave the sizes to the operator."""
    count = len(sizes)
    equal = len(set(sizes)) == 1
    if b.opset < 13:
        if equal and b.chance(0.5):
            return b.node("Split", x, outputs=count, axis=axis)
        return b.node("Split", x, outputs=count, axis=axis, split=list(sizes))
    if equal and b.chance(0.5):
        if b.opset >= 18:
            return b.node("Split", x, outputs=count, axis=axis, num_outputs=count)
        return b.node("Split", x, outputs=count, axis=axis)
    return b.node("Split", x, b.ints(list(sizes)), outputs=count, axis=axis)


def clip(b: Builder, x: str | Tensor, low: float | None, high: float | None) -> str:
    """Limit values from one or both sides."""
    if b.opset < 11:
        limits = {"min": low, "max": high}
        return b.op("Clip", x, **{k: v for k, v in limits.items() if v is not None})
    operands = ["" if low is None else b.floats(low)]
    if high is not None:
        operands.append(b.floats(high))
    return b.op("Clip", x, *operands)


def pad(b: Builder, x: str | Tensor, pads: Sequence[int], *, mode: str, value: float = 0.0) -> str:
    """Pad with `pads` = all begins, then all ends."""
    if b.opset < 11:
        return b.op("Pad", x, pads=list(pads), mode=mode, value=value)
    operands = [b.ints(list(pads))]
    if value:
        operands.append(b.floats(value))
    return b.op("Pad", x, *operands, mode=mode)


def softmax(b: Builder, x: Tensor, axis: int, op_type: str = "Softmax") -> str:
    """Normalise over one axis; before opset 13 that needs the axis to come last."""
    rank = len(x.shape)
    axis %= rank
    if b.opset >= 13:
        return b.op(op_type, x, axis=axis if b.chance(0.5) else axis - rank)
    if axis == rank - 1:
        return b.op(op_type, x, axis=axis)
    order = [i for i in range(rank) if i != axis] + [axis]
    moved = b.op("Transpose", x, perm=order)
    return b.op(
        "Transpose", b.op(op_type, moved, axis=rank - 1), perm=[int(i) for i in np.argsort(order)]
    )


def upsample(b: Builder, x: Tensor, scales: Sequence[float], *, mode: str) -> str:
    """Resize by factors, one per axis."""
    factors = b.constant(np.asarray(scales, dtype=np.float32))
    if b.opset == 9:
        return b.op("Upsample", x, factors, mode=mode)
    if b.opset == 10:
        return b.op("Resize", x, factors, mode=mode)
    coordinates = b.pick(["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"])
    roi = b.constant(np.zeros(0, dtype=np.float32)) if b.opset < 13 or b.chance(0.3) else ""
    return b.op(
        "Resize",
        x,
        roi,
        factors,
        mode=mode,
        coordinate_transformation_mode=coordinates,
        nearest_mode="floor",
    )
