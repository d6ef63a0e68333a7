"""Check which versions of ONNX a model says it is written in, and that its text is text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
from google.protobuf.descriptor import FieldDescriptor

from onnxprune.errors import InvalidModelError, printable
from onnxprune.io.place import normal_domain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.message import Message

__all__ = ["check_ir_version", "check_text", "opset_table"]

# Version 3 brought opset imports; 13 is the newest that runtimes read.
_OLDEST_IR, _NEWEST_IR = 3, 13

# The largest exported networks have some hundred thousand.
_MAX_MESSAGES = 2_000_000

# Operators before opset 7 broadcast by attributes, which nothing here understands.
_OLDEST_OPSET = 7


def check_ir_version(model: onnx.ModelProto) -> None:
    """Refuse a file format version that is missing, too old or too new."""
    if _OLDEST_IR <= model.ir_version <= _NEWEST_IR:
        return
    seen = model.ir_version if model.HasField("ir_version") else "missing"
    msg = f"has ir_version {seen}, wanted {_OLDEST_IR} to {_NEWEST_IR}"
    hint = "export the model again with a current exporter"
    if model.ir_version > _NEWEST_IR:
        hint = f"save the model with ir_version {_NEWEST_IR}, which runtimes read"
    raise InvalidModelError(msg, hint=hint)


def opset_table(imports: Iterable[onnx.OperatorSetIdProto]) -> dict[str, int]:
    """Return the version of each imported domain, the default domain as "".

    Raises:
        InvalidModelError: When a domain is imported twice, or in a version that does not exist.
    """
    known = onnx.defs.C.schema_version_map()
    table: dict[str, int] = {}
    for entry in imports:
        domain = normal_domain(entry.domain)
        name = printable(domain) or "ai.onnx"
        if table.setdefault(domain, entry.version) != entry.version:
            msg = f"imports domain '{name}' in versions {table[domain]} and {entry.version}"
            raise InvalidModelError(msg)
        oldest = 1 if domain else _OLDEST_OPSET
        newest = known[domain][1] if domain in known else (1 << 31) - 1
        if not oldest <= entry.version <= newest:
            msg = f"imports opset {entry.version} of '{name}', wanted {oldest} to {newest}"
            raise InvalidModelError(msg, hint="convert the model to a supported opset")
    return table


def check_text(model: onnx.ModelProto) -> None:
    """Refuse text that is not UTF-8, and models of more parts than can be checked in time.

    Text that is not UTF-8 would come back as bytes where everybody expects text.
    """
    left = _MAX_MESSAGES
    pending: list[Message] = [model]
    while pending:
        left -= 1
        if left < 0:
            msg = f"consists of more than {_MAX_MESSAGES} parts (nodes, attributes, shapes)"
            raise InvalidModelError(msg)
        for field, value in pending.pop().ListFields():
            if field.type == FieldDescriptor.TYPE_MESSAGE:
                pending.extend(value if field.is_repeated else (value,))
            elif field.type == FieldDescriptor.TYPE_STRING:
                _check_strings(field, value if field.is_repeated else (value,))


def _check_strings(field: FieldDescriptor, texts: Iterable[str | bytes]) -> None:
    for text in texts:
        if isinstance(text, bytes):
            owner = field.containing_type
            place = f"{owner.name if owner is not None else ''}.{field.name}"
            msg = f"has a {place} that is not UTF-8: '{printable(text)}'"
            raise InvalidModelError(msg)
