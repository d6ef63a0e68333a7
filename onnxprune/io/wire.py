"""Walk protobuf bytes without parsing them, and replace tensors on the way.

A model file is mostly weights. Walking its wire format finds them without reading them, so a file
of several gigabytes becomes a small message whose tensors point back into the file, and, when
writing, the other way round. The walk is also the first gate for files from strangers: lengths,
nesting and field counts are checked before a parser with its own ideas sees a byte.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

import onnx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from google.protobuf.descriptor import Descriptor

__all__ = [
    "Field",
    "Lazy",
    "Piece",
    "Place",
    "Visit",
    "WireError",
    "encode_varint",
    "fields",
    "pieces_size",
    "replace_tensors",
]

# What protobuf's own parsers accept below the outermost message; a graph inside an attribute of a
# node takes three levels.
MAX_DEPTH = 100

# A walk reads a field in about a microsecond; a file with more of them is no network but a stalling
# attempt.
MAX_FIELDS = 2_000_000

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


class WireError(ValueError):
    """Bytes are no protobuf message of the wanted kind.

    Args:
        message: What is wrong, and at which byte.
        truncated: Whether the bytes end too early, which reads the same as being cut off.
    """

    def __init__(self, message: str, *, truncated: bool = False) -> None:
        super().__init__(message)
        self.truncated = truncated


class Field(NamedTuple):
    """One field of a message: its number, wire type, and where tag and value lie."""

    number: int
    wire_type: int
    start: int
    value: int
    end: int


class Lazy(Protocol):
    """Bytes that are produced only when they are written."""

    @property
    def size(self) -> int:
        """Number of bytes that `chunks` will yield."""

    def chunks(self) -> Iterator[memoryview]:
        """Yield the bytes in order."""


Piece: TypeAlias = "bytes | memoryview | Lazy"
"""A run of bytes of a rewritten message."""


class Place(NamedTuple):
    """Where a tensor sits: the kind of message that holds it, and how deep that is in the model."""

    parent: str
    depth: int


Visit: TypeAlias = "Callable[[memoryview, int, int, Place], list[Piece] | None]"
"""Takes the buffer, a tensor's start and end, and its place; returns new bytes, None keeps it."""


def encode_varint(value: int) -> bytes:
    """Return a non-negative number in protobuf's base-128 form."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def pieces_size(pieces: list[Piece]) -> int:
    """Return the number of bytes in pieces."""
    return sum(
        len(piece) if isinstance(piece, bytes | memoryview) else piece.size for piece in pieces
    )


def _varint(buffer: memoryview, position: int, end: int) -> tuple[int, int]:
    value = shift = 0
    for index in range(position, min(position + 10, end)):
        byte = buffer[index]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> 64:
                break
            return value, index + 1
        shift += 7
    else:
        if end - position < 10:
            msg = f"a number at byte {position} runs past the end of its message"
            raise WireError(msg, truncated=True)
    msg = f"a number at byte {position} is longer than 64 bits"
    raise WireError(msg)


def fields(buffer: memoryview, start: int, end: int) -> Iterator[Field]:
    """Yield the fields of the message in buffer[start:end], in file order.

    Args:
        buffer: Bytes that hold the message.
        start: First byte of the message.
        end: First byte after it.

    Raises:
        WireError: Where the bytes are no sequence of fields.
    """
    position = start
    while position < end:
        tag = buffer[position]
        value = position + 1
        if tag >= 0x80:
            tag, value = _varint(buffer, position, end)
        number, wire_type = tag >> 3, tag & 7
        if not 0 < number < 1 << 29:
            msg = f"byte {position} starts a field with number {number}, which no message has"
            raise WireError(msg)
        if wire_type == BYTES:
            length, value = _varint(buffer, value, end)
            stop = value + length
        elif wire_type == VARINT:
            _, stop = _varint(buffer, value, end)
        elif wire_type == FIXED32:
            stop = value + 4
        elif wire_type == FIXED64:
            stop = value + 8
        else:
            msg = (
                f"byte {position} starts a field of wire type {wire_type}, which ONNX does not use"
            )
            raise WireError(msg)
        if stop > end:
            msg = f"field {number} at byte {position} wants {stop - end} bytes more than there are"
            raise WireError(msg, truncated=True)
        yield Field(number, wire_type, position, value, stop)
        position = stop


class _Child(NamedTuple):
    name: str
    message: str
    repeated: bool


def _tables() -> dict[str, dict[int, _Child]]:
    """Return, per message that can hold tensors, the fields that lead to one."""
    found: dict[str, dict[int, _Child]] = {}

    def leads_to_tensor(descriptor: Descriptor, above: tuple[str, ...]) -> bool:
        return descriptor.name == "TensorProto" or any(
            field.message_type is not None
            and field.message_type.name not in above
            and leads_to_tensor(field.message_type, (*above, descriptor.name))
            for field in descriptor.fields
        )

    def collect(descriptor: Any) -> None:  # noqa: ANN401  # two classes of one interface
        if descriptor.name in found or descriptor.name == "TensorProto":
            return
        table = found[descriptor.name] = {}
        for field in descriptor.fields:
            child = field.message_type
            if child is not None and leads_to_tensor(child, ()):
                table[field.number] = _Child(field.name, child.name, field.is_repeated)
                collect(child)

    collect(onnx.ModelProto.DESCRIPTOR)
    return found


_CHILDREN = _tables()
_MODEL_FIELDS = {
    field.number: _Child(field.name, "", field.is_repeated)
    for field in onnx.ModelProto.DESCRIPTOR.fields
}


class _Walk:
    def __init__(self, buffer: memoryview, visit: Visit, min_size: int) -> None:
        self.buffer = buffer
        self.visit = visit
        self.min_size = min_size
        self.seen_fields = 0

    def message(self, start: int, end: int, kind: str, depth: int) -> list[Piece] | None:
        """Return the message's new pieces, or None when nothing in it changed."""
        if depth > MAX_DEPTH:
            msg = f"messages are nested more than {MAX_DEPTH} deep at byte {start}"
            raise WireError(msg)
        children = _CHILDREN[kind]
        singular: set[int] = set()
        pieces: list[Piece] = []
        copied = start
        for field in fields(self.buffer, start, end):
            self._count(field.start)
            if kind == "ModelProto":
                _check_model_field(field, singular)
            child = children.get(field.number)
            # Of another wire type it is not that field: parsers keep it and do not look inside.
            if child is None or field.wire_type != BYTES:
                continue
            _check_repetition(field, child, singular)
            if field.end - field.value < self.min_size:
                continue
            changed = self._child(field, child, kind, depth)
            if changed is not None:
                pieces.append(self.buffer[copied : field.start])
                pieces.append(
                    encode_varint(field.number << 3 | BYTES) + encode_varint(pieces_size(changed))
                )
                pieces.extend(changed)
                copied = field.end
        if not pieces:
            return None
        pieces.append(self.buffer[copied:end])
        return pieces

    def _child(self, field: Field, child: _Child, kind: str, depth: int) -> list[Piece] | None:
        if child.message == "TensorProto":
            return self.visit(self.buffer, field.value, field.end, Place(kind, depth))
        return self.message(field.value, field.end, child.message, depth + 1)

    def _count(self, position: int) -> None:
        self.seen_fields += 1
        if self.seen_fields > MAX_FIELDS:
            msg = f"there are more than {MAX_FIELDS} fields up to byte {position}"
            raise WireError(msg)


def _check_model_field(field: Field, singular: set[int]) -> None:
    known = _MODEL_FIELDS.get(field.number)
    if known is None:
        msg = f"byte {field.start} starts field {field.number}, which a model does not have"
        raise WireError(msg)
    if field.number not in _CHILDREN["ModelProto"]:
        _check_repetition(field, known, singular)


def _check_repetition(field: Field, child: _Child, singular: set[int]) -> None:
    # A parser would merge the two, which is how two files put one after the other look like one.
    if child.repeated:
        return
    if field.number in singular:
        msg = f"field {child.name!r} occurs a second time at byte {field.start}"
        raise WireError(msg)
    singular.add(field.number)


def replace_tensors(buffer: memoryview, visit: Visit, *, min_size: int) -> list[Piece]:
    """Return a serialised ModelProto with every tensor replaced by what visit makes of it.

    Args:
        buffer: The serialised ModelProto.
        visit: Called for each tensor of at least min_size bytes, wherever it sits.
        min_size: Messages smaller than this are copied without being looked into.

    Returns:
        The new message as pieces; lengths of the enclosing messages are adjusted.

    Raises:
        WireError: Where the bytes are no ModelProto.
    """
    pieces = _Walk(buffer, visit, min_size).message(0, len(buffer), "ModelProto", 0)
    return [buffer] if pieces is None else pieces
