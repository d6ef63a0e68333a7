"""The element types of tensors: their number in ONNX, their name in ONNX Runtime, their dtype here.

Kept apart from `onnx`, whose import takes longer than starting the child process that needs this.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import ml_dtypes
import numpy as np

__all__ = ["ElementType", "by_number", "by_runtime_type"]


class ElementType(NamedTuple):
    """One element type.

    Attributes:
        number: Its value in `TensorProto.DataType`.
        name: What ONNX Runtime writes inside `tensor(...)`.
        dtype: Its NumPy type; object for strings.
        native: Whether ONNX Runtime takes and gives NumPy arrays of that dtype.
        packed: Whether several elements share a byte.
    """

    number: int
    name: str
    dtype: np.dtype[Any]
    native: bool
    packed: bool = False


def _row(number: int, name: str, dtype: object, *, packed: bool = False) -> ElementType:
    resolved: np.dtype[Any] = np.dtype(dtype)  # type: ignore[call-overload]  # any type object
    native = resolved.type.__module__ == "numpy"
    return ElementType(number, name, resolved, native, packed)


_ELEMENT_TYPES: Final = (
    _row(1, "float", np.float32),
    _row(2, "uint8", np.uint8),
    _row(3, "int8", np.int8),
    _row(4, "uint16", np.uint16),
    _row(5, "int16", np.int16),
    _row(6, "int32", np.int32),
    _row(7, "int64", np.int64),
    _row(8, "string", np.object_),
    _row(9, "bool", np.bool_),
    _row(10, "float16", np.float16),
    _row(11, "double", np.float64),
    _row(12, "uint32", np.uint32),
    _row(13, "uint64", np.uint64),
    _row(14, "complex64", np.complex64),
    _row(15, "complex128", np.complex128),
    _row(16, "bfloat16", ml_dtypes.bfloat16),
    _row(17, "float8e4m3fn", ml_dtypes.float8_e4m3fn),
    _row(18, "float8e4m3fnuz", ml_dtypes.float8_e4m3fnuz),
    _row(19, "float8e5m2", ml_dtypes.float8_e5m2),
    _row(20, "float8e5m2fnuz", ml_dtypes.float8_e5m2fnuz),
    _row(21, "uint4", ml_dtypes.uint4, packed=True),
    _row(22, "int4", ml_dtypes.int4, packed=True),
    _row(23, "float4e2m1", ml_dtypes.float4_e2m1fn, packed=True),
    _row(24, "float8e8m0", ml_dtypes.float8_e8m0fnu),
    _row(25, "uint2", ml_dtypes.uint2, packed=True),
    _row(26, "int2", ml_dtypes.int2, packed=True),
)
_BY_NUMBER: Final = {row.number: row for row in _ELEMENT_TYPES}
_BY_RUNTIME_TYPE: Final = {f"tensor({row.name})": row for row in _ELEMENT_TYPES}


def by_number(number: int) -> ElementType | None:
    """Return the element type of a `TensorProto.DataType`; None for an unknown one.

    Examples:
        >>> by_number(1).dtype
        dtype('float32')
    """
    return _BY_NUMBER.get(number)


def by_runtime_type(runtime_type: str) -> ElementType | None:
    """Return the element type of a tensor as ONNX Runtime names it; None for anything else.

    Examples:
        >>> by_runtime_type("tensor(double)").number
        11
    """
    return _BY_RUNTIME_TYPE.get(runtime_type)
