"""Rules for data outside of the model file, and the reading of it.

A location is a string that a stranger chose. It names a plain file beside or below the model and
nothing else: no way up, no absolute path, no address, no link, no runtime's private marker.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from onnxprune.errors import InvalidModelError, printable
from onnxprune.io.sniff import HEAD_BYTES, is_lfs_pointer

if TYPE_CHECKING:
    from onnx import TensorProto

__all__ = ["External", "check_range", "external_of", "location_parts"]

# Runtimes mark data they hold in memory with a location that begins and ends so.
_MEMORY_MARK = "_ORT_MEM_ADDR_"

# "http://host", "file:name" and "C:name" all start like this.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")

_LONGEST_NUMBER = 19


class External(NamedTuple):
    """Where a tensor's data lies: a location, the first byte, and the length where it is given."""

    location: str
    offset: int
    length: int | None


def location_parts(location: str) -> tuple[str, ...]:
    """Return the path below the model's directory that a location names.

    Raises:
        InvalidModelError: When it could name anything else.
    """
    if not location:
        problem = "is empty"
    elif _MEMORY_MARK in location:
        problem = "is a runtime's marker for data in memory"
    elif any(ord(character) < 0x20 or ord(character) == 0x7F for character in location):
        problem = "contains a control character"
    elif "\\" in location:
        problem = "contains a backslash"
    elif location.startswith("/"):
        problem = "is an absolute path"
    elif _SCHEME.match(location):
        problem = "is an address or names a drive"
    elif ".." in location.split("/"):
        problem = "leads out of the model's directory"
    elif location.endswith("/") or not PurePosixPath(location).parts:
        problem = "names a directory"
    else:
        return PurePosixPath(location).parts
    msg = f"has external data at '{printable(location)}', which {problem}"
    raise InvalidModelError(msg, hint="a location is a relative path beside or below the model")


def external_of(tensor: TensorProto) -> External:
    """Return where a tensor's data lies, as its entries say.

    Raises:
        InvalidModelError: When the entries contradict each other or are no numbers.
    """
    entries: dict[str, str] = {}
    for entry in tensor.external_data:
        if entry.key in entries:
            msg = f"gives '{printable(entry.key)}' of its external data twice"
            raise InvalidModelError(msg)
        entries[entry.key] = entry.value
    offset = _number(entries, "offset")
    return External(entries.get("location", ""), offset or 0, _number(entries, "length"))


def _number(entries: dict[str, str], key: str) -> int | None:
    text = entries.get(key)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER):
        msg = f"has external data with {key} '{printable(text)}', wanted a number of bytes"
        raise InvalidModelError(msg)
    return int(text)


def check_range(external: External, size: int, content: memoryview) -> None:
    """Check that a data file holds the bytes a tensor wants.

    Args:
        external: Where the data should be.
        size: Bytes that type and dims want.
        content: The data file.

    Raises:
        InvalidModelError: When it does not.
    """
    if external.length is not None and external.length != size:
        msg = f"has {external.length} bytes of external data, type and dims want {size}"
        raise InvalidModelError(msg)
    if external.offset + size <= len(content):
        return
    name = printable(external.location)
    if is_lfs_pointer(bytes(content[:HEAD_BYTES])):
        msg = f"has its data in '{name}', which is a Git LFS pointer"
        raise InvalidModelError(msg, hint="fetch the real file with: git lfs pull")
    msg = (
        f"wants bytes {external.offset} to {external.offset + size} of '{name}', "
        f"which has {len(content)}"
    )
    raise InvalidModelError(msg, hint="the file may be cut off; fetch it again")
