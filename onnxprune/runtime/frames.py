"""Typed messages over a byte stream, between a parent and the child process it started.

A frame is a kind, a pickled object and the bytes of the arrays inside that object. Arrays travel
beside the pickle (protocol 5), so one costs a single copy through the pipe and arrives as a view of
the received bytes.

The frames of a child are unpickled by its parent. That is fine between two processes of ours: the
child is a guard against accidents, no sandbox. Bytes from anywhere else take another `Load`.
"""

from __future__ import annotations

import pickle
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = [
    "Call",
    "Chunk",
    "Frame",
    "FrameKind",
    "Load",
    "encode",
    "load_anything",
    "read",
    "skip_to_marker",
    "write",
    "write_marker",
]

Chunk = bytes | memoryview
Load: TypeAlias = "Callable[[bytearray, Sequence[bytearray]], object]"
"""Unpickles a body, whose arrays lie in the buffers beside it."""

_HEADER = struct.Struct("<BI")
_LENGTH = struct.Struct("<Q")

# Site customisation may print before our code runs; what precedes this is not ours.
_MARKER = b"\x89onnxprune\r\n\x1a\n"


class FrameKind(IntEnum):
    """What a frame says."""

    REQUEST = 1  # parent to child: a Call
    PROGRESS = 2  # (done, total)
    RESULT = 3  # the value returned
    ERROR = 4  # an exception to raise again
    OUT_OF_MEMORY = 5  # the text of a MemoryError
    FAILURE = 6  # (one line, traceback) of an exception that cannot travel


@dataclass(frozen=True, slots=True)
class Call:
    """The value of a request."""

    target: str
    kwargs: Mapping[str, object]
    memory_limit_bytes: int | None
    cpu_limit_s: float | None
    wants_progress: bool


@dataclass(frozen=True, slots=True)
class Frame:
    """One received message, not unpickled yet."""

    kind: FrameKind
    body: bytearray
    buffers: tuple[bytearray, ...]

    def value(self, load: Load | None = None) -> object:
        """Return the object the sender passed to `encode`, unpickled freely by default."""
        return (load or load_anything)(self.body, self.buffers)


def load_anything(body: bytearray, buffers: Sequence[bytearray]) -> object:
    """Unpickle what a process of ours wrote."""
    value: object = pickle.loads(body, buffers=buffers)  # noqa: S301  # our own
    return value


def encode(kind: FrameKind, value: object) -> list[Chunk]:
    """Return the chunks of a frame, to be written one after the other; arrays are not copied."""
    exported: list[pickle.PickleBuffer] = []
    body = pickle.dumps(value, protocol=5, buffer_callback=exported.append)
    chunks: list[Chunk] = [body, *(buffer.raw() for buffer in exported)]
    sizes = [memoryview(chunk).nbytes for chunk in chunks]
    header = _HEADER.pack(kind, len(chunks)) + b"".join(_LENGTH.pack(size) for size in sizes)
    return [header, *chunks]


def write(stream: BinaryIO, chunks: Sequence[Chunk]) -> None:
    """Write the chunks of a frame and flush."""
    stream.writelines(chunks)
    stream.flush()


def read(stream: BinaryIO) -> Frame | None:
    """Read one frame; None where the stream ends between frames.

    Raises:
        EOFError: The stream ended inside a frame.
    """
    first = stream.read(1)
    if not first:
        return None
    kind, count = _HEADER.unpack(first + _read_exactly(stream, _HEADER.size - 1))
    if kind not in FrameKind.__members__.values() or not count:
        message = f"something else was written between the frames, of kind {kind}"
        raise EOFError(message)
    sizes = [_LENGTH.unpack(_read_exactly(stream, _LENGTH.size))[0] for _ in range(count)]
    body, *buffers = [_read_exactly(stream, size) for size in sizes]
    return Frame(FrameKind(kind), body, tuple(buffers))


def write_marker(stream: BinaryIO) -> None:
    """Say that frames start here."""
    write(stream, [_MARKER])


def skip_to_marker(stream: BinaryIO) -> None:
    """Read up to and including the marker.

    Raises:
        EOFError: The stream ended without one.
    """
    seen = b""
    while not seen.endswith(_MARKER):
        byte = stream.read(1)
        if not byte:
            message = "the stream ended before the first frame"
            raise EOFError(message)
        seen = (seen + byte)[-len(_MARKER) :]


def _read_exactly(stream: BinaryIO, size: int) -> bytearray:
    data = bytearray(size)
    view = memoryview(data)
    done = 0
    while done < size:
        count = stream.readinto(view[done:])  # type: ignore[attr-defined]  # BinaryIO omits it
        if not count:
            message = f"the stream ended {size - done} bytes before the end of a frame"
            raise EOFError(message)
        done += count
    return data
