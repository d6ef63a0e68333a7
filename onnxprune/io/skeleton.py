"""A model without its weights: payloads are replaced by references to where they lie.

The reference is an ordinary external-data entry with an empty location, which no file may have, so
the skeleton is a normal ModelProto that onnx, GraphSurgeon and shape inference can hold and copy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import onnx

from onnxprune.io.wire import BYTES, VARINT, Field, Piece, Place, WireError, fields, replace_tensors

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["MIN_PAYLOAD", "Stub", "is_external", "read_skeleton", "stub_of"]

# Smaller payloads stay in the skeleton: a reference would be no smaller, and shapes and axes are
# read often.
MIN_PAYLOAD = 1024

_DESCRIPTOR = onnx.TensorProto.DESCRIPTOR
_NUMBER = {field.name: field.number for field in _DESCRIPTOR.fields}
_NAME = {field.number: field.name for field in _DESCRIPTOR.fields}

# Fixed-width payloads have the same bytes in the file as in memory, so they can be referred to.
_REFERABLE = frozenset({_NUMBER["raw_data"], _NUMBER["float_data"], _NUMBER["double_data"]})


# Dims, name and notes of a tensor come to a dozen.
_MOST_FIELDS = 1000


class Stub(NamedTuple):
    """Where the payload of a tensor lies in the model file.

    Attributes:
        offset: First byte.
        length: Number of bytes.
        field: Name of the field the payload came from.
        explicit: Whether the tensor said in so many words that its data is in the model file.
    """

    offset: int
    length: int
    field: str
    explicit: bool


def is_external(tensor: onnx.TensorProto) -> bool:
    """Return whether a tensor's data is elsewhere, in a data file or behind a stub."""
    return tensor.data_location == onnx.TensorProto.EXTERNAL


def stub_of(tensor: onnx.TensorProto) -> Stub | None:
    """Return where in the model file a tensor's payload lies, or None if it has no stub."""
    if not is_external(tensor):
        return None
    entries = {entry.key: entry.value for entry in tensor.external_data}
    if entries.get("location") or "field" not in entries:
        return None
    try:
        offset, length = int(entries["offset"]), int(entries["length"])
    except (KeyError, ValueError):
        return None
    return Stub(offset, length, entries["field"], "explicit" in entries)


def read_skeleton(buffer: memoryview) -> tuple[bytes, frozenset[Stub]]:
    """Return a serialised model without large payloads, and the stubs that stand in for them.

    Args:
        buffer: The serialised ModelProto.

    Returns:
        The skeleton's bytes, and the stubs in it; no two are equal.

    Raises:
        WireError: Where the bytes are no ModelProto.
    """
    stubs: set[Stub] = set()

    def visit(data: memoryview, start: int, end: int, _place: Place) -> list[Piece] | None:
        payload, explicit, others = _find_payload(data, start, end)
        if payload is None:
            return None
        stub = Stub(payload.value, payload.end - payload.value, _NAME[payload.number], explicit)
        stubs.add(stub)
        return [*(data[field.start : field.end] for field in others), _stub_bytes(stub)]

    pieces = replace_tensors(buffer, visit, min_size=MIN_PAYLOAD)
    return b"".join(piece for piece in pieces if isinstance(piece, bytes | memoryview)), frozenset(
        stubs
    )


def _find_payload(
    data: memoryview, start: int, end: int
) -> tuple[Field | None, bool, Sequence[Field]]:
    """Return a tensor's one large payload, whether its location is explicit, and the rest."""
    payload: Field | None = None
    others: list[Field] = []
    elsewhere = explicit = False
    for field in fields(data, start, end):
        name = _NAME.get(field.number)
        if name == "data_location" and field.wire_type == VARINT:
            explicit = True
            elsewhere = data[field.value] != onnx.TensorProto.DEFAULT
        elif field.number in _REFERABLE and field.wire_type == BYTES:
            if payload is not None:
                msg = f"a tensor's data occurs a second time at byte {field.start}"
                raise WireError(msg)
            payload = field
        elif len(others) > _MOST_FIELDS or (
            name is not None and name.endswith("_data") and name != "external_data"
        ):
            # Numbers of varying width, one field each at worst: the parser reads those faster.
            return None, explicit, others
        else:
            others.append(field)
    if payload is None or payload.end - payload.value < MIN_PAYLOAD:
        return None, explicit, others
    if elsewhere or any(_NAME.get(field.number) == "external_data" for field in others):
        msg = f"a tensor has data both in the model, at byte {payload.start}, and outside of it"
        raise WireError(msg)
    return payload, explicit, others


def _stub_bytes(stub: Stub) -> bytes:
    entries = {
        "location": "",
        "offset": str(stub.offset),
        "length": str(stub.length),
        "field": stub.field,
    }
    if stub.explicit:
        entries["explicit"] = "1"
    tensor = onnx.TensorProto(data_location=onnx.TensorProto.EXTERNAL)
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    return bytes(tensor.SerializeToString(deterministic=True))
