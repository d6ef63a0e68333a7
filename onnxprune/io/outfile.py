"""Files that appear whole or not at all.

New files are written without a name where the system can (a kill then leaves nothing behind),
otherwise under a temporary name in the same directory; they get their names only when every byte is
on disk.
"""

from __future__ import annotations

import os
import secrets
import signal
import stat
import threading
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self

from onnxprune.errors import InvalidConfigError, printable
from onnxprune.io.files import identity_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from types import FrameType

    from onnxprune.io.files import FileIdentity

__all__ = ["check_destination", "new_files"]

_WRITE_ONLY = os.O_WRONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)

# A file without a name gets one through the process's own table of open files.
_OPEN_FILES = Path("/proc/self/fd")
_NAMELESS = getattr(os, "O_TMPFILE", 0) if _OPEN_FILES.is_dir() else 0


def check_destination(path: Path, inputs: Collection[FileIdentity]) -> None:
    """Refuse a destination that is a link, no file, or one of the files being read.

    Args:
        path: Where a file is to appear.
        inputs: Files that must stay as they are.

    Raises:
        InvalidConfigError: With the reason.
    """
    name = printable(path)
    try:
        status = path.lstat()
    except FileNotFoundError:
        if path.parent.is_dir():
            return
        msg = f"'{name}' cannot be written: '{printable(path.parent)}' is not a directory"
        raise InvalidConfigError(msg, hint="create the directory first") from None
    except (OSError, ValueError) as error:
        raise _unwritable(path, error) from None
    if stat.S_ISLNK(status.st_mode):
        msg = f"'{name}' is a symbolic link, and links at the destination are not followed"
        raise InvalidConfigError(msg, hint="remove the link or name its target")
    if not stat.S_ISREG(status.st_mode):
        msg = f"'{name}' exists and is not a regular file"
        raise InvalidConfigError(msg, hint="choose another name for the output")
    if identity_of(status) in inputs:
        msg = f"'{name}' is one of the files of the input model, which is never changed"
        raise InvalidConfigError(msg, hint="choose another name for the output")


def _unwritable(path: Path, error: Exception) -> InvalidConfigError:
    reason = getattr(error, "strerror", None) or str(error)
    return InvalidConfigError(f"'{printable(path)}' cannot be written: {reason}")


@contextmanager
def new_files(*paths: Path) -> Iterator[list[BinaryIO]]:
    """Open new files that get their names together when the block ends without an exception.

    Args:
        paths: Where they are to appear, all in one directory; existing regular files are replaced.

    Yields:
        One binary file per path, to be written from the start.

    Raises:
        InvalidConfigError: When the directory or the disk does not take them.
    """
    try:
        with _interruptible(), ExitStack() as stack:
            pending = [stack.enter_context(_PendingFile(path)) for path in paths]
            yield [item.file for item in pending]
            for item in pending:
                item.finish()
            try:
                for item in pending:
                    item.publish()
            except BaseException:
                for item in pending:
                    item.retract()
                raise
            _sync_directory(paths[0].parent)
    except OSError as error:
        raise _unwritable(paths[0], error) from None


class _PendingFile:
    """A file on its way: opened without a name or under a temporary one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Short whatever the final name is: that may be as long as the file system allows.
        self._temporary = path.with_name(f".onnxprune-{secrets.token_hex(8)}.tmp")
        self._named = self._retractable = False
        self.file = os.fdopen(self._open(), "wb")

    def _open(self) -> int:
        if _NAMELESS:
            with suppress(OSError):
                return os.open(self._path.parent, _WRITE_ONLY | _NAMELESS, 0o666)
        flags = _WRITE_ONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW
        descriptor = os.open(self._temporary, flags, 0o666)
        self._named = True
        return descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Closing flushes, which fails again on the full disk that got us here.
        with suppress(OSError):
            self.file.close()
        if self._named:
            self._temporary.unlink(missing_ok=True)

    def finish(self) -> None:
        """Bring every byte to the disk, and give the file a temporary name if it has none."""
        self.file.flush()
        os.fsync(self.file.fileno())
        if not self._named:
            self._named = True
            # Only with a directory given does Python follow the link to the file behind it.
            with _opened(self._path.parent) as directory:
                source = _OPEN_FILES / str(self.file.fileno())
                os.link(source, self._temporary.name, dst_dir_fd=directory)

    def publish(self) -> None:
        """Give the file its name, replacing what had it."""
        replaced = self._path.exists()
        self._temporary.replace(self._path)
        self._named = False
        self._retractable = not replaced

    def retract(self) -> None:
        """Take the name away again, unless another file had it before."""
        if self._retractable:
            self._path.unlink(missing_ok=True)


@contextmanager
def _opened(directory: Path) -> Iterator[int]:
    descriptor = os.open(directory, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _sync_directory(directory: Path) -> None:
    # Makes the new names survive a power cut; not every file system can.
    with suppress(OSError), _opened(directory) as descriptor:
        os.fsync(descriptor)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Turn a request to terminate into an exception, so that temporary files are removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    numbers = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    taken = {n: signal.signal(n, stop) for n in numbers if signal.getsignal(n) is signal.SIG_DFL}
    try:
        yield
    finally:
        for number, previous in taken.items():
            signal.signal(number, previous)
