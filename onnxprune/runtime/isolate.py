"""Call a function of ours in a fresh child process that cannot take this one down with it.

ONNX Runtime runs graphs that strangers made. Some of them crash it, some ask for terabytes, some
never end, and several of its providers print to stdout. A child process turns each of these into an
error with a name. It is a guard against accidents and no sandbox: the child has the user's rights.

What a call costs on top of the function: a tenth of a second, and one copy of the arrays each way.

The child may be another interpreter's, or another machine's: all it takes is a command whose stdin
and stdout are those of `child.main`.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Self, cast

from onnxprune.errors import InternalError, OnnxPruneError, printable
from onnxprune.runtime import frames
from onnxprune.runtime.frames import Frame, FrameKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = [
    "Host",
    "IsolatedCrashError",
    "IsolatedMemoryError",
    "IsolatedStartError",
    "IsolatedTimeoutError",
    "IsolationError",
    "run_isolated",
]

# The child imports what this process would, from the same places, and not from the working
# directory merely because it starts there (-P): a model's directory may hold anything.
_BOOTSTRAP: Final = (
    "import sys; sys.path[:] = sys.argv.pop().split('\\n');"
    "from onnxprune.runtime.child import main; main()"
)
_PIPE_BYTES: Final = 1 << 20
_OUTPUT_BYTES: Final = 64 << 10
_GRACE_S: Final = 2.0
# How long to wait at a time: on Windows, Ctrl-C is not noticed before such a wait is over.
_POLL_S: Final = 0.5

# How native code says that it ran out of memory before it aborts.
_MEMORY_WORDS: Final = ("bad_alloc", "bad allocation", "Cannot allocate memory", "MemoryError")


class IsolationError(OnnxPruneError):
    """An isolated call did not come to its end.

    Attributes:
        output: The last 64 KiB the child wrote to stdout and stderr.
    """

    output: str = ""


class IsolatedCrashError(IsolationError):
    """The child process was killed by a signal, or left without an answer."""


class IsolatedStartError(IsolatedCrashError):
    """The child process left before any code of ours ran in it.

    Attributes:
        status: What it left with.
    """

    status: int = 0


class IsolatedMemoryError(IsolationError):
    """The function asked for more memory than it was given."""


class IsolatedTimeoutError(IsolationError):
    """The function was not done in time."""


@dataclass(frozen=True, slots=True)
class Host:
    """An interpreter that a child process runs in.

    Attributes:
        command: What starts the child: it ends in `child.main`.
        load: How the child's answers are unpickled; those of another machine are not to be trusted.
    """

    command: Sequence[str]
    load: frames.Load = frames.load_anything


def run_isolated(  # two limits that no caller may forget
    target: str,
    kwargs: Mapping[str, Any],
    *,
    timeout_s: float | None,
    memory_limit_bytes: int | None,
    cpu_limit_s: float | None = None,
    progress: Callable[[int, int], None] | None = None,
    task: str | None = None,
    host: Host | None = None,
) -> Any:  # noqa: ANN401  # what the target returns
    """Call a function in a fresh child process and return what it returns.

    The child does not import this process's `__main__`, has an empty stdin, and its output never
    reaches this process's stdout. It dies with this process, and when this call is interrupted.

    Args:
        target: What to call, as "package.module:function".
        kwargs: Its keyword arguments; they and the result must be picklable.
        timeout_s: Wall-clock seconds from start to result; None for no limit.
        memory_limit_bytes: Address space the function may take on top of what the interpreter, the
            imports of the function's module and the arguments occupy; None for no limit.
            Memory-mapped files count, the stacks and heaps of threads (8 MiB and up to 128 MiB
            each) as well, and ONNX Runtime (50 MiB) where the function is the first to load it.
            Drivers of GPUs reserve far more than they use: no limit for them. Enforced on Linux.
        cpu_limit_s: Seconds of computing, over all threads, that the function may take: unlike
            `timeout_s` the same on a busy machine. None for no limit. Not enforced on Windows.
        progress: Called with (done, total); when given, the function gets a keyword argument
            `progress`, which it calls with the same two numbers.
        task: What the call is for, as error messages name it; without it, they name the target.
        host: What the child is started with; this interpreter by default.

    Raises:
        IsolatedCrashError: The child crashed.
        IsolatedStartError: It did so before our code ran.
        IsolatedMemoryError: The function ran into the memory limit.
        IsolatedTimeoutError: The function was not done in time.
        InternalError: The function raised an exception of another package; the message quotes it.
        OSError: The command does not start.
        Exception: What else the function raised: the errors of this package and of Python.

    Examples:
        >>> run_isolated("math:hypot", {}, timeout_s=60, memory_limit_bytes=None)
        0.0
    """
    call = frames.Call(target, dict(kwargs), memory_limit_bytes, cpu_limit_s, progress is not None)
    host = host or Host(_own_command())
    with _Child(frames.encode(FrameKind.REQUEST, call), host.command) as child:
        limits = timeout_s, memory_limit_bytes, cpu_limit_s
        return _Call(task or target, *limits, host.load).result(child, progress)


def _own_command() -> list[str]:
    path = "\n".join(entry or str(Path.cwd()) for entry in sys.path)
    return [sys.executable, "-P", "-c", _BOOTSTRAP, path]


class _Child:
    """A running child process, with the three threads that keep its pipes moving."""

    def __init__(self, request: Sequence[frames.Chunk], command: Sequence[str]) -> None:
        self.events: queue.SimpleQueue[Frame | Exception | None] = queue.SimpleQueue()
        self.started = False
        self.answered = False
        self._output = bytearray()
        self._process = subprocess.Popen(  # noqa: S603  # our own interpreter, or the user names it
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pipesize=_PIPE_BYTES,
            start_new_session=True,  # one group to kill, and no Ctrl-C from the terminal
        )
        streams = (self._process.stdin, self._process.stdout, self._process.stderr)
        self._streams = [cast("BinaryIO", stream) for stream in streams]
        stdin, stdout, stderr = self._streams
        self._threads = [
            threading.Thread(target=_send, args=(stdin, request), daemon=True),
            threading.Thread(target=self._receive, args=(stdout,), daemon=True),
            threading.Thread(target=self._collect_output, args=(stderr,), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        if not self.answered:
            self._kill()
        self.wait()
        for thread in self._threads:
            thread.join(_GRACE_S)
        for stream in self._streams:
            with contextlib.suppress(OSError):  # a request that nobody read is still in the buffer
                stream.close()

    def wait(self) -> int:
        """Return the exit status of a child that has said all it will say; kill it if need be."""
        try:
            return self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            self._kill()
            return self._process.wait()

    def output(self) -> str:
        """Return the end of what the child printed, once it is gone."""
        self._threads[-1].join(_GRACE_S)
        return bytes(self._output).decode("utf-8", "replace")

    def _kill(self) -> None:
        if self._process.poll() is not None:
            return
        if sys.platform == "win32":
            self._process.kill()
        else:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _receive(self, stream: BinaryIO) -> None:
        try:
            frames.skip_to_marker(stream)
            self.started = True
            while (frame := frames.read(stream)) is not None:
                self.events.put(frame)
        except EOFError:
            pass  # the child died while writing; its status says how
        except (OSError, MemoryError) as error:
            self.events.put(error)
        finally:
            self.events.put(None)

    def _collect_output(self, stream: BinaryIO) -> None:
        while chunk := os.read(stream.fileno(), _OUTPUT_BYTES):
            self._output += chunk
            del self._output[:-_OUTPUT_BYTES]


def _send(stream: BinaryIO, request: Sequence[frames.Chunk]) -> None:
    """Write the request and leave the stream open: its end tells the child that we are gone."""
    with contextlib.suppress(OSError):  # a child that is gone has left a status
        frames.write(stream, request)


class _Call:
    """One call's limits, and how its outcome is told."""

    def __init__(
        self,
        task: str,
        timeout_s: float | None,
        memory_bytes: int | None,
        cpu_s: float | None,
        load: frames.Load,
    ) -> None:
        self._load = load
        self._task = printable(task)
        self._cpu_s = cpu_s
        self._timeout_s = timeout_s
        self._deadline = None if timeout_s is None else time.monotonic() + timeout_s
        self._memory_bytes = memory_bytes

    def result(self, child: _Child, progress: Callable[[int, int], None] | None) -> object:
        """Wait for the child's answer."""
        while True:
            try:
                event = child.events.get(timeout=self._patience_s())
            except queue.Empty:
                continue
            if event is None:
                raise self._crashed(child)
            if isinstance(event, Exception):
                raise event
            if event.kind is not FrameKind.PROGRESS:
                child.answered = True
                return self._outcome(event)
            if progress is not None:
                done, total = cast("tuple[int, int]", event.value(self._load))
                progress(done, total)

    def _patience_s(self) -> float:
        if self._deadline is None:
            return _POLL_S
        left = self._deadline - time.monotonic()
        if left <= 0:
            message = f"{self._task}: not done after {self._timeout_s:g} s"
            raise IsolatedTimeoutError(message, hint="allow more time, or use smaller inputs")
        return min(left, _POLL_S)

    def _outcome(self, answer: Frame) -> object:
        value: Any = answer.value(self._load)
        if answer.kind is FrameKind.RESULT:
            return value
        if answer.kind is FrameKind.OUT_OF_MEMORY:
            raise self._out_of_memory(value)
        if answer.kind is FrameKind.ERROR:
            raise value
        line, trace = value
        message = f"{self._task}: {printable(line)}"
        error = InternalError(message)
        error.add_note(f"In the child process:\n{trace}")
        raise error

    def _out_of_memory(self, detail: str) -> IsolatedMemoryError:
        limit = "" if self._memory_bytes is None else f" of {self._memory_bytes / 2**20:.0f} MiB"
        message = f"{self._task}: ran out of the memory{limit} it was given"
        if detail:
            message += f": {printable(detail)}"
        return IsolatedMemoryError(message, hint="allow more memory, or use smaller inputs")

    def _crashed(self, child: _Child) -> IsolationError:
        status = child.wait()
        output = child.output()
        if status < 0 and _signal_name(-status) == "SIGXCPU":
            message = f"{self._task}: not done after {self._cpu_s:g} s of computing"
            hint = "use smaller inputs: something in the model takes far longer than its size says"
            error: IsolationError = IsolatedTimeoutError(message, hint=hint)
        elif self._memory_bytes is not None and any(word in output for word in _MEMORY_WORDS):
            error = self._out_of_memory("")
        else:
            error = self._crash(status, output, started=child.started)
        error.output = output
        return error

    def _crash(self, status: int, output: str, *, started: bool) -> IsolatedCrashError:
        hint = "the model, or the sizes of its inputs, make native code fail"
        if status >= 0:
            how = f"the child process left with status {status} and without an answer"
        else:
            how = f"the child process was killed by {_signal_name(-status)}"
            if _signal_name(-status) == "SIGKILL":
                hint = "the system may have run out of memory"
        lines = output.strip().splitlines()
        said = f"; its last words: {printable(lines[-1].strip())}" if lines else ""
        if started:
            return IsolatedCrashError(f"{self._task}: {how}{said}", hint=hint)
        error = IsolatedStartError(f"{self._task}: {how}{said}", hint=hint)
        error.status = status
        return error


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
