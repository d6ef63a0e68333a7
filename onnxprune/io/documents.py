"""Read the JSON documents that a user names: plans, scores, reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from onnxprune.errors import InvalidConfigError, InvalidModelError, OnnxPruneError, printable
from onnxprune.io.files import map_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["read_document"]

Document = TypeVar("Document", bound=BaseModel)

_MOST_BYTES = 1 << 28
"""A longer file is not read into memory."""


def read_document(
    path: Path,
    parse: Callable[[bytes], Document],
    *,
    what: str,
    hint: str,
    error: type[OnnxPruneError] = InvalidConfigError,
) -> Document:
    """Read a document.

    Args:
        path: the file.
        parse: makes the document from its content, as `model_validate_json` does.
        what: what the file should be, for messages: `no plan`.
        hint: where such a file comes from.
        error: what is raised.

    Raises:
        OnnxPruneError: of the given kind: the file is missing, or holds something else.
    """
    name = printable(path)
    try:
        content, _ = map_file(path)
    except InvalidModelError as failure:
        raise error(failure.message, hint=failure.hint) from None
    if len(content) > _MOST_BYTES:
        message = f"'{name}' is {what}: it has {len(content)} bytes"
        raise error(message, hint=hint)
    try:
        return parse(bytes(content))
    except ValidationError as failure:
        first = failure.errors(include_url=False)[0]
        place = "".join(f"{part}: " for part in first["loc"])
        message = f"'{name}' is {what} that can be read: {printable(place + first['msg'])}"
        raise error(message, hint=hint) from None
