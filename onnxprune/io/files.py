"""Open the files of a model without being led elsewhere.

A path can be a FIFO that never answers, a device whose opening has effects, or a link out of the
directory that was given. Files are looked at before they are opened, opened without blocking, and
looked at again.
"""

from __future__ import annotations

import mmap
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from onnxprune.errors import InvalidModelError, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["FileIdentity", "identity_of", "map_beneath", "map_file"]

# Windows lacks these; there, nothing blocks on opening and the checks by name remain.
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_DIRECTORY = getattr(os, "O_DIRECTORY", 0)
_READ_ONLY = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)

_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISLNK, "a symbolic link"),
)


class FileIdentity(NamedTuple):
    """What makes two paths the same file."""

    device: int
    inode: int


def identity_of(status: os.stat_result) -> FileIdentity:
    """Return the identity of a file from its status."""
    return FileIdentity(status.st_dev, status.st_ino)


def map_file(path: Path) -> tuple[memoryview, FileIdentity]:
    """Map a regular file into memory, read-only.

    Args:
        path: The file, or a symbolic link to it: the user named it.

    Returns:
        Its bytes, empty for an empty file, and its identity.

    Raises:
        InvalidModelError: When it is missing, unreadable or not a regular file.
    """
    with _explained(printable(path)):
        _require_regular(path.stat())
        return _map_and_close(os.open(path, _READ_ONLY | _NONBLOCK))


def map_beneath(directory: Path, parts: Sequence[str]) -> tuple[memoryview, FileIdentity]:
    """Map a regular file inside a directory into memory, following no link on the way.

    Args:
        directory: Where the walk starts; the way to it may hold links.
        parts: Names of the directories below it, and of the file; no "..", none empty.

    Returns:
        Its bytes, empty for an empty file, and its identity.

    Raises:
        InvalidModelError: When it is missing, unreadable, not a regular file, a link, or also
            known under another name.
    """
    with _explained(printable("/".join(parts))):
        parent = os.open(directory, _READ_ONLY | _DIRECTORY)
        try:
            for part in parts[:-1]:
                below = os.open(part, _READ_ONLY | _DIRECTORY | _NOFOLLOW, dir_fd=parent)
                os.close(parent)
                parent = below
            status = os.stat(parts[-1], dir_fd=parent, follow_symlinks=False)
            _require_regular(status)
            descriptor = os.open(parts[-1], _READ_ONLY | _NONBLOCK | _NOFOLLOW, dir_fd=parent)
        finally:
            os.close(parent)
        # A second name would let a model reach a file outside of its directory.
        return _map_and_close(descriptor, single_name=True)


def _map_and_close(
    descriptor: int, *, single_name: bool = False
) -> tuple[memoryview, FileIdentity]:
    try:
        status = os.fstat(descriptor)
        _require_regular(status)
        if single_name and status.st_nlink > 1:
            msg = f"has {status.st_nlink} names (hard links)"
            raise _UnsuitableError(msg)
        if status.st_size == 0:
            return memoryview(b""), identity_of(status)
        mapped = mmap.mmap(descriptor, status.st_size, access=mmap.ACCESS_READ)
        return memoryview(mapped), identity_of(status)
    finally:
        os.close(descriptor)


class _UnsuitableError(Exception):
    """A file is there, but not of the kind that may be read."""


def _require_regular(status: os.stat_result) -> None:
    if stat.S_ISREG(status.st_mode):
        return
    kind = next((name for test, name in _KINDS if test(status.st_mode)), "not a regular file")
    msg = f"is {kind}"
    raise _UnsuitableError(msg)


@contextmanager
def _explained(name: str) -> Iterator[None]:
    try:
        yield
    except _UnsuitableError as error:
        msg = f"'{name}' {error}, wanted a regular file with one name"
        raise InvalidModelError(msg) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        msg = f"'{name}' cannot be read: {reason}"
        raise InvalidModelError(msg) from None
