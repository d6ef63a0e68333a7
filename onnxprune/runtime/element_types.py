"""The element types of tensors: their number in ONNX, their name in ONNX Runtime, their dtype here.

Kept apart from `onnx`, whose import takes longer than starting the child process that needs this.
"""

from __future__ import annotations

import importlib
from typing import Any, Final, NamedTuple

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


_NUMPY_TYPES: Final = (
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
)
_OTHER_TYPES: Final = (
    (16, "bfloat16", "bfloat16", False),
    (17, "float8e4m3fn", "float8_e4m3fn", False),
    (18, "float8e4m3fnuz", "float8_e4m3fnuz", False),
    (19, "float8e5m2", "float8_e5m2", False),
    (20, "float8e5m2fnuz", "float8_e5m2fnuz", False),
    (21, "uint4", "uint4", True),
    (22, "int4", "int4", True),
    (23, "float4e2m1", "float4_e2m1fn", True),
    (24, "float8e8m0", "float8_e8m0fnu", False),
    (25, "uint2", "uint2", True),
    (26, "int2", "int2", True),
)
"""Number, name, what ml_dtypes calls it, and whether several elements share a byte."""


def _ml_dtypes() -> Any:  # noqa: ANN401  # a module
    """Import ml_dtypes; a target may do without, for models that NumPy's types suffice for."""
    try:
        return importlib.import_module("ml_dtypes")
    except ImportError:
        return None


_ML_DTYPES: Final = _ml_dtypes()
_ELEMENT_TYPES: Final = (
    *_NUMPY_TYPES,
    *(
        _row(number, name, getattr(_ML_DTYPES, own), packed=packed)
        for number, name, own, packed in _OTHER_TYPES
        if hasattr(_ML_DTYPES, own)
    ),
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
