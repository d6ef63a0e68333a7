"""Element types of tensors: how wide they are, which fields carry them, do the bytes add up."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
import onnx.numpy_helper
from onnx import TensorProto
from onnx.helper import tensor_dtype_to_np_dtype

from onnxprune.errors import InvalidModelError
from onnxprune.io.skeleton import stub_of

__all__ = [
    "MAX_RANK",
    "Array",
    "array_from_bytes",
    "check_inline_data",
    "check_no_inline_data",
    "checked_size",
    "element_bits",
    "inline_array",
    "type_name",
]

# Element types differ from tensor to tensor, and some are ml_dtypes' own.
Array: TypeAlias = npt.NDArray[Any]

# NumPy's own limit; no operator comes near it.
MAX_RANK = 64

# Sizes beyond this overflow the 64-bit arithmetic of whoever reads the file next.
_MAX_BYTES = 1 << 62


class _Format(NamedTuple):
    """Bits per element, the repeated field besides raw_data, and its entries per element."""

    bits: int
    field: str
    entries: int = 1
    packed: bool = False


_T = TensorProto
_FORMATS: dict[int, _Format] = {
    _T.FLOAT: _Format(32, "float_data"),
    _T.COMPLEX64: _Format(64, "float_data", 2),
    _T.DOUBLE: _Format(64, "double_data"),
    _T.COMPLEX128: _Format(128, "double_data", 2),
    _T.INT64: _Format(64, "int64_data"),
    _T.UINT32: _Format(32, "uint64_data"),
    _T.UINT64: _Format(64, "uint64_data"),
    _T.STRING: _Format(0, "string_data"),
    **dict.fromkeys((_T.INT32,), _Format(32, "int32_data")),
    **dict.fromkeys((_T.INT16, _T.UINT16, _T.FLOAT16, _T.BFLOAT16), _Format(16, "int32_data")),
    **dict.fromkeys(
        (
            *(_T.INT8, _T.UINT8, _T.BOOL, _T.FLOAT8E4M3FN, _T.FLOAT8E4M3FNUZ),
            *(_T.FLOAT8E5M2, _T.FLOAT8E5M2FNUZ),
        ),
        _Format(8, "int32_data"),
    ),
    **dict.fromkeys((_T.INT4, _T.UINT4), _Format(4, "int32_data", packed=True)),
}
# Types that came later than the oldest onnx this package accepts.
for _name, _form in {
    "FLOAT4E2M1": _Format(4, "int32_data", packed=True),
    "FLOAT8E8M0": _Format(8, "int32_data"),
    "UINT2": _Format(2, "int32_data", packed=True),
    "INT2": _Format(2, "int32_data", packed=True),
    "FLOAT6E2M3": _Format(6, "int32_data"),
    "FLOAT6E3M2": _Format(6, "int32_data"),
}.items():
    if _name in _T.DataType.keys():  # noqa: SIM118  (an enum wrapper, no mapping)
        _FORMATS[_T.DataType.Value(_name)] = _form

_DATA_FIELDS = (
    *("raw_data", "float_data", "int32_data", "string_data"),
    *("int64_data", "double_data", "uint64_data"),
)


def type_name(data_type: int) -> str:
    """Return ONNX's name of an element type, or its number when it has none."""
    try:
        return str(_T.DataType.Name(data_type))
    except ValueError:
        return f"number {data_type}"


def element_bits(data_type: int) -> int:
    """Return the width of an element in a raw payload, 0 for strings."""
    return _FORMATS[data_type].bits


def checked_size(tensor: TensorProto) -> int:
    """Return how many bytes a tensor's raw payload has to have, from its type and dims.

    Raises:
        InvalidModelError: When type or dims cannot be; the message does not name the tensor.
    """
    form = _FORMATS.get(tensor.data_type)
    if form is None:
        msg = f"has element type {type_name(tensor.data_type)}, which tensors cannot have"
        raise InvalidModelError(msg)
    if len(tensor.dims) > MAX_RANK:
        msg = f"has {len(tensor.dims)} dims, at most {MAX_RANK} are possible"
        raise InvalidModelError(msg)
    if any(dim < 0 for dim in tensor.dims):
        msg = f"has dims {list(tensor.dims)}, none may be negative"
        raise InvalidModelError(msg)
    if tensor.HasField("segment"):
        msg = "is one segment of a larger tensor, which no ONNX version supports"
        raise InvalidModelError(msg)
    count = math.prod(tensor.dims)
    size = int(-(-count * form.bits // 8))
    if max(size, count) > _MAX_BYTES:
        msg = f"has dims {list(tensor.dims)}, whose product is too large for any memory"
        raise InvalidModelError(msg)
    return size


def check_inline_data(tensor: TensorProto, size: int) -> None:
    """Check that a tensor has one payload, of the kind and length that type and dims want.

    Args:
        tensor: The tensor, with its payload or a stub for it.
        size: What checked_size says.

    Raises:
        InvalidModelError: When the data does not fit type and dims; the message does not name the
            tensor.
    """
    stub = stub_of(tensor)
    used = {name: len(getattr(tensor, name)) for name in _DATA_FIELDS if _has_data(tensor, name)}
    if stub is not None:
        used[stub.field] = stub.length
    if len(used) > 1:
        msg = f"has data in {' and '.join(sorted(used))}, only one can be right"
        raise InvalidModelError(msg)
    form = _FORMATS[tensor.data_type]
    count = math.prod(tensor.dims)
    name, seen = next(iter(used.items()), ("raw_data", 0))
    raw_like = name == "raw_data" or stub is not None
    if name not in ("raw_data", form.field) or (name == "raw_data" and form.bits == 0 and seen):
        msg = f"has element type {type_name(tensor.data_type)} and its data in {name}"
        raise InvalidModelError(msg)
    if form.bits == 0 and not used:
        wanted = count
    elif raw_like:
        wanted = size
    else:
        wanted = size if form.packed else count * form.entries
    if seen != wanted:
        unit = "bytes" if raw_like else "entries"
        msg = f"has {seen} {unit} of data, dims {list(tensor.dims)} want {wanted}"
        raise InvalidModelError(msg)


def check_no_inline_data(tensor: TensorProto) -> None:
    """Check that a tensor with external data has none in the model file as well.

    Raises:
        InvalidModelError: When it has; the message does not name the tensor.
    """
    for name in _DATA_FIELDS:
        if len(getattr(tensor, name)):
            msg = f"has external data and data in {name}, only one can be right"
            raise InvalidModelError(msg)


def _has_data(tensor: TensorProto, name: str) -> bool:
    return bool(tensor.HasField("raw_data") if name == "raw_data" else len(getattr(tensor, name)))


def inline_array(tensor: TensorProto) -> Array:
    """Return a tensor whose data is in the message as an array."""
    if tensor.data_type != _T.STRING:
        return onnx.numpy_helper.to_array(tensor)
    # One element each: an array of fixed width would give every string the longest one's size.
    array = np.empty(len(tensor.string_data), dtype=object)
    for index, text in enumerate(tensor.string_data):
        array[index] = text.decode("utf-8", "surrogateescape")
    return array.reshape(tuple(tensor.dims))


def array_from_bytes(tensor: TensorProto, payload: memoryview | bytes) -> Array:
    """Return a tensor's raw payload as an array, without a copy where elements are whole bytes.

    Args:
        tensor: Gives type and dims.
        payload: The little-endian bytes.
    """
    form = _FORMATS[tensor.data_type]
    if form.bits < 8:
        packed = TensorProto(data_type=tensor.data_type, dims=tensor.dims, raw_data=bytes(payload))
        return onnx.numpy_helper.to_array(packed)
    dtype = np.dtype(tensor_dtype_to_np_dtype(tensor.data_type))
    if dtype.itemsize > 1 and dtype.kind in "iufc":
        dtype = dtype.newbyteorder("<")
    return np.frombuffer(payload, dtype=dtype).reshape(tuple(tensor.dims))
