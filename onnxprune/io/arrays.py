"""Arrays in `.npy` and `.npz` files: what is in there is known before any of it is read.

Objects are never unpickled, so a file from a stranger can do no more than hold numbers.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from onnxprune.errors import InvalidConfigError, printable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import IO

__all__ = ["UNNAMED", "StoredArray", "open_arrays"]

UNNAMED: Final = ""
"""Name of the array of a `.npy` file."""

_NPY: Final = ".npy"
_UNREADABLE: Final = (ValueError, OSError, EOFError, zipfile.BadZipFile, NotImplementedError)


@dataclass(frozen=True, slots=True)
class StoredArray:
    """An array in a file, of which only the header was read.

    Attributes:
        path: The file.
        member: Its name in an archive, "" in a file of its own.
        shape: Its shape.
        dtype: Its type.
    """

    path: Path
    member: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def read(self) -> np.ndarray[Any, np.dtype[Any]]:
        """Return the content: memory-mapped where the file is not an archive.

        Raises:
            InvalidConfigError: The file is damaged.
        """
        try:
            if not self.member:
                mapped: np.ndarray[Any, np.dtype[Any]] = np.load(
                    self.path, mmap_mode="r", allow_pickle=False
                )
                return mapped
            with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as stream:
                read: np.ndarray[Any, np.dtype[Any]] = np.lib.format.read_array(
                    stream, allow_pickle=False
                )
                return read
        except _UNREADABLE as error:
            raise _unreadable(self.path, error) from error


def open_arrays(path: Path) -> Mapping[str, StoredArray]:
    """Return the arrays of a `.npy` or `.npz` file by name.

    Raises:
        InvalidConfigError: The file is neither, is damaged, or holds Python objects.
    """
    try:
        if path.suffix == _NPY:
            with path.open("rb") as stream:
                stored = {UNNAMED: _header(path, "", stream)}
            stored[UNNAMED].read()  # (checks the length: the content is mapped, not read)
            return stored
        with zipfile.ZipFile(path) as archive:
            return {
                info.filename.removesuffix(_NPY): _member(path, archive, info)
                for info in archive.infolist()
            }
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error


def _member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> StoredArray:
    with archive.open(info) as stream:
        stored = _header(path, info.filename, stream)
        header = stream.tell()
    wanted = header + int(np.prod(stored.shape, dtype=object)) * stored.dtype.itemsize
    if info.file_size != wanted:
        message = f"member '{info.filename}' has {info.file_size} bytes, its header says {wanted}"
        raise ValueError(message)
    return stored


def _header(path: Path, member: str, stream: IO[bytes]) -> StoredArray:
    version = np.lib.format.read_magic(stream)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        message = f"format version {version} is only for records, which are not tensors"
        raise ValueError(message)
    shape, _, dtype = readers[version](stream)
    if dtype.hasobject or dtype.names is not None:
        kind = "Python objects" if dtype.hasobject else "records"
        message = f"it holds {kind}; save a plain array of numbers"
        raise ValueError(message)
    return StoredArray(path, member, tuple(shape), dtype)


def _unreadable(path: Path, error: Exception) -> InvalidConfigError:
    wanted = "a NumPy array (.npy)" if path.suffix == _NPY else "an archive of NumPy arrays (.npz)"
    message = f"'{printable(path)}' cannot be read as {wanted}: {printable(error)}"
    return InvalidConfigError(message, hint="write it with numpy.save or numpy.savez")
