"""A private directory beside a destination, where a model is written and proven before it appears.

Whatever ends the process, nothing is left behind: errors, Ctrl-C and requests to terminate remove
the directory, and a small guardian process does so when this one is killed outright.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from onnxprune.errors import InvalidConfigError, printable
from onnxprune.io.outfile import check_destination

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from types import FrameType

    from onnxprune.io.files import FileIdentity

_SHELL = "/bin/sh"
_REMOVE_AT_END_OF_INPUT = 'read -r _; rm -rf -- "$1"'
_GRACE_S = 5.0


class Staging:
    """Where an output is prepared; a context manager.

    Args:
        destination: where the model is to appear.
        inputs: files that must stay as they are.

    Attributes:
        directory: the private directory.
        path: where to write the model; a data file goes beside it.
    """

    directory: Path
    path: Path

    def __init__(self, destination: Path, inputs: Collection[FileIdentity]) -> None:
        self._destination = destination
        self._inputs = inputs
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        check_destination(self._destination, self._inputs)
        with self._stack:
            self._stack.enter_context(_terminable())
            self.directory = self._stack.enter_context(_private_directory(self._destination))
            self.path = self.directory / self._destination.name
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stack.close()

    def publish(self, data_path: Path | None) -> None:
        """Give the staged files their names, together.

        Args:
            data_path: the staged data file, if there is one.

        Raises:
            InvalidConfigError: a destination cannot take its file; the others are as they were.
        """
        # The data file gets its name first: a model without its data would look complete.
        staged = [p for p in (data_path, self.path) if p is not None]
        targets = [self._destination.with_name(p.name) for p in staged]
        for target in targets:
            check_destination(target, self._inputs)
        try:
            with _uninterrupted():
                _replace_all(staged, targets, self.directory)
        except OSError as error:
            reason = error.strerror or str(error)
            message = f"'{printable(self._destination)}' cannot be written: {reason}"
            raise InvalidConfigError(message) from None


def _replace_all(staged: Sequence[Path], targets: Sequence[Path], spare: Path) -> None:
    """Move files to their targets; when one cannot be moved, put back what was there."""
    with ExitStack() as undo:
        for number, (source, target) in enumerate(zip(staged, targets, strict=True)):
            if target is not targets[-1]:  # the last one succeeds or changes nothing
                backup = spare / f"{number}.old"
                with suppress(FileNotFoundError):
                    os.link(target, backup, follow_symlinks=False)
                undo.callback(_put_back, backup, target)
            source.replace(target)
        undo.pop_all()
    with suppress(OSError):  # makes the names survive a power cut; not every file system can
        descriptor = os.open(targets[-1].parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _put_back(backup: Path, target: Path) -> None:
    if backup.exists():
        backup.replace(target)
    else:
        target.unlink(missing_ok=True)


@contextmanager
def _private_directory(destination: Path) -> Iterator[Path]:
    try:
        parent = destination.parent.absolute()
        directory = Path(tempfile.mkdtemp(prefix=".onnxprune-", suffix=".tmp", dir=parent))
    except OSError as error:
        message = f"'{printable(destination)}' cannot be written: {error.strerror or error}"
        raise InvalidConfigError(message) from None
    try:
        with _guarded(directory):
            yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _guarded(directory: Path) -> Iterator[None]:
    """Have a process wait for the end of this one, however it comes, and remove the directory."""
    try:
        guardian = subprocess.Popen(  # noqa: S603  # a fixed command
            [_SHELL, "-c", _REMOVE_AT_END_OF_INPUT, "sh", str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )
    except OSError:  # no such shell here
        yield
        return
    try:
        yield
    finally:
        assert guardian.stdin is not None
        guardian.stdin.close()
        try:
            guardian.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            guardian.kill()
            guardian.wait()


def _ending_signals() -> list[signal.Signals]:
    return [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]


@contextmanager
def _terminable() -> Iterator[None]:
    """Turn a request to terminate into an exception, so that the directory is removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    default = [s for s in _ending_signals() if signal.getsignal(s) is signal.SIG_DFL]
    taken = {s: signal.signal(s, stop) for s in default}
    try:
        yield
    finally:
        for number, previous in taken.items():
            signal.signal(number, previous)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold back interruptions until files that belong together have their names."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, *_ending_signals()])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
