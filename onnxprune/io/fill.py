"""Put weights back into a serialised model, as references to bytes that are read when written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
import onnx
import onnx.numpy_helper
from google.protobuf.message import EncodeError
from onnx import TensorProto

from onnxprune.errors import InternalError, InvalidModelError, printable
from onnxprune.io.skeleton import MIN_PAYLOAD, Stub, is_external, stub_of
from onnxprune.io.tensors import Array, checked_size, element_bits
from onnxprune.io.wire import BYTES, Piece, Place, encode_varint, pieces_size, replace_tensors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnxprune.io.model import Model

__all__ = ["Arrays", "Filled", "fill_model"]

Arrays: TypeAlias = Mapping[str, Array | Callable[[], Array]]
"""New values of initializers by name, or functions that produce them when they are written."""

_FIELDS = TensorProto.DESCRIPTOR.fields_by_name
_DATA_FIELDS = [name for name in _FIELDS if name.endswith("_data") and name != "external_data"]

# Runtimes map large tensors straight from the file, which wants whole pages.
_PAGE = 4096
_PAGE_ALIGNED_FROM = 1 << 20
_ALIGNMENT = 64


class Filled(NamedTuple):
    """A model ready to be written: the pieces of its file, and those of its data file."""

    model: list[Piece]
    data: list[Piece]


def fill_model(
    proto: onnx.ModelProto,
    source: Model,
    arrays: Arrays,
    *,
    data_name: str,
    external: bool | None,
) -> Filled:
    """Return the pieces of a model's file and of its data file.

    Args:
        proto: The model, with stubs.
        source: Where the stubs point into.
        arrays: New values by the name of an initializer of the main graph.
        data_name: Name of the data file.
        external: Whether large initializers go to the data file; None leaves each where it was.

    Raises:
        InvalidModelError: When the model is too large even without its weights.
        InternalError: When arrays do not fit the model.
    """
    try:
        skeleton = proto.SerializeToString(deterministic=True)
    except (EncodeError, ValueError) as error:
        msg = f"the model cannot be serialised: {error}"
        raise InvalidModelError(msg) from None
    filler = _Filler(source, arrays, data_name=data_name, external=external)
    pieces = replace_tensors(memoryview(skeleton), filler.visit, min_size=0)
    if filler.unused:
        msg = f"new values for initializers that the model does not have: {sorted(filler.unused)}"
        raise InternalError(msg)
    return Filled(pieces, filler.data)


class _Produced:
    """Bytes of an array that may not exist yet; it is checked against what was announced."""

    def __init__(self, tensor: TensorProto, produce: Callable[[], Array]) -> None:
        self._produce = produce
        self._name = tensor.name
        self._dims = tuple(tensor.dims)
        self._data_type = tensor.data_type
        self.size = checked_size(tensor)

    def chunks(self) -> Iterator[memoryview]:
        """Yield the array's bytes at once."""
        array = self._produce()
        data_type = onnx.helper.np_dtype_to_tensor_dtype(array.dtype.newbyteorder("="))
        if array.shape != self._dims or data_type != self._data_type:
            msg = (
                f"new values of '{self._name}' are {array.dtype} {list(array.shape)}, "
                f"announced was {TensorProto.DataType.Name(self._data_type)} {list(self._dims)}"
            )
            raise InternalError(msg)
        yield _raw_bytes(array, self._data_type)


def _raw_bytes(array: Array, data_type: int) -> memoryview:
    if element_bits(data_type) < 8:
        return memoryview(onnx.numpy_helper.from_array(array).raw_data)
    if array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("<"))
    # Through unsigned bytes: the types of ml_dtypes offer no buffer of their own.
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


class _Filler:
    def __init__(
        self, source: Model, arrays: Arrays, *, data_name: str, external: bool | None
    ) -> None:
        self.source = source
        self.arrays = arrays
        self.data_name = data_name
        self.external = external
        self.unused = set(arrays)
        self.data: list[Piece] = []
        self._end = 0
        self._placed: dict[tuple[str, ...], int] = {}

    def visit(self, buffer: memoryview, start: int, end: int, place: Place) -> list[Piece] | None:
        """Return a tensor's new bytes with its payload behind them, or None to keep the old."""
        tensor = TensorProto.FromString(bytes(buffer[start:end]))
        initializer = place.parent == "GraphProto"
        stub = stub_of(tensor)
        outside = is_external(tensor) and stub is None
        payload: Piece
        key: tuple[str, ...] | None = None
        if initializer and place.depth == 1 and tensor.name in self.arrays:
            self.unused.discard(tensor.name)
            stub = None
            new = self._new_payload(tensor)
            if new is None:
                return [tensor.SerializeToString(deterministic=True)]
            payload = new
        elif is_external(tensor):
            payload = self._old_payload(tensor)
            entries = sorted(f"{entry.key}={entry.value}" for entry in tensor.external_data)
            key = (*entries, str(len(payload)))
        elif self._moves_out(tensor, initializer=initializer):
            payload, outside = tensor.raw_data, True
        else:
            return None
        for name in (*_DATA_FIELDS, "external_data", "data_location"):
            tensor.ClearField(name)
        if self._stays_out(pieces_size([payload]), initializer=initializer, outside=outside):
            self._refer(tensor, payload, key)
            return [tensor.SerializeToString(deterministic=True)]
        return _embedded(tensor, payload, stub)

    def _stays_out(self, size: int, *, initializer: bool, outside: bool) -> bool:
        """Return whether a payload goes to the data file."""
        if self.external:
            return outside or (initializer and size >= MIN_PAYLOAD)
        return outside and self.external is None

    def _moves_out(self, tensor: TensorProto, *, initializer: bool) -> bool:
        """Return whether a payload inside the message belongs into the data file."""
        wanted = self.source.external if self.external is None else self.external
        return wanted and initializer and len(tensor.raw_data) >= MIN_PAYLOAD

    def _new_payload(self, tensor: TensorProto) -> Piece | None:
        """Return the new bytes of a tensor, or None when they were put into the tensor itself."""
        new = self.arrays[tensor.name]
        if callable(new):
            return _Produced(tensor, new)
        tensor.dims[:] = new.shape
        if tensor.data_type == TensorProto.STRING:
            for name in (*_DATA_FIELDS, "external_data", "data_location"):
                tensor.ClearField(name)
            tensor.string_data[:] = [_encoded(text) for text in new.reshape(-1).tolist()]
            return None
        return _Produced(tensor, lambda: new)

    def _old_payload(self, tensor: TensorProto) -> memoryview:
        payload = self.source.payload(tensor)
        assert payload is not None
        if len(payload) != checked_size(tensor):
            msg = f"'{printable(tensor.name)}' has new dims {list(tensor.dims)} but no new values"
            raise InternalError(msg)
        return payload

    def _refer(self, tensor: TensorProto, payload: Piece, key: tuple[str, ...] | None) -> None:
        """Let a tensor point into the data file, at bytes put there for it or for one like it."""
        size = pieces_size([payload])
        # Tensors that shared their bytes in the source go on sharing them.
        offset = None if key is None else self._placed.get(key)
        if offset is None:
            padding = -self._end % (_PAGE if size >= _PAGE_ALIGNED_FROM else _ALIGNMENT)
            offset = self._end + padding
            self.data += [bytes(padding), payload]
            self._end = offset + size
            if key is not None:
                self._placed[key] = offset
        tensor.data_location = TensorProto.EXTERNAL
        entries = {"location": self.data_name, "offset": str(offset), "length": str(size)}
        for name, value in entries.items():
            tensor.external_data.add(key=name, value=value)


def _embedded(tensor: TensorProto, payload: Piece, stub: Stub | None) -> list[Piece]:
    """Return a tensor with its payload inside, in the field that it came from."""
    if stub is not None and stub.explicit:
        tensor.data_location = TensorProto.DEFAULT
    head = tensor.SerializeToString(deterministic=True)
    number = _FIELDS["raw_data" if stub is None else stub.field].number
    return [
        head,
        encode_varint(number << 3 | BYTES) + encode_varint(pieces_size([payload])),
        payload,
    ]


def _encoded(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
