"""The child process's side of `isolate`: receive a call, make it under limits, send the outcome.

Imports nothing heavy and nothing of the caller's: every isolated call pays for these imports.
"""

from __future__ import annotations

import importlib
import math
import os
import pickle
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from onnxprune.errors import OnnxPruneError
from onnxprune.runtime import frames
from onnxprune.runtime.frames import Frame, FrameKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from onnxprune.runtime.frames import Call

__all__ = ["main"]

_PR_SET_PDEATHSIG = 1
_SIGKILL = 9


def main() -> None:
    """Serve one call and leave the process."""
    requests, replies = _claim_standard_streams()
    _die_with_parent()
    _forbid_core_dumps()
    frames.write_marker(replies)
    request = frames.read(requests)
    if request is not None:
        threading.Thread(target=_leave_at_end_of, args=(requests,), daemon=True).start()
        _answer(request, replies)
    sys.stdout.flush()
    sys.stderr.flush()
    # Destructors of native libraries have nothing left to do for us, and some of them crash.
    os._exit(0)


def _claim_standard_streams() -> tuple[BinaryIO, BinaryIO]:
    """Keep stdin and stdout for frames; all else gets an empty stdin, and stderr as its stdout.

    Done on file descriptors, because native libraries print to number 1 whatever `sys.stdout` is.
    """
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, replies


def _die_with_parent() -> None:
    """Have the kernel kill this process with its parent, even while native code is running.

    Elsewhere than on Linux, and for a parent that died before this, the end of the requests tells.
    """
    if sys.platform == "linux":
        ctypes = importlib.import_module("ctypes")
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)


def _leave_at_end_of(requests: BinaryIO) -> None:
    """Leave the process when the parent closes its end, which stays open while a parent waits."""
    requests.read(1)
    os._exit(1)


def _forbid_core_dumps() -> None:
    if sys.platform != "win32":
        resource = importlib.import_module("resource")
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _answer(request: Frame, replies: BinaryIO) -> None:
    """Make the call and send the frame that tells what came of it."""

    def report(done: int, total: int) -> None:
        frames.write(replies, frames.encode(FrameKind.PROGRESS, (done, total)))

    lift: Callable[[], None] = _do_nothing
    try:
        call = cast("Call", request.value())
        keywords = dict(call.kwargs, progress=report) if call.wants_progress else call.kwargs
        function = _resolve(call.target)
        _limit_cpu(call.cpu_limit_s)
        lift = _limit_memory(call.memory_limit_bytes)
        result = function(**keywords)
        lift()
        answer = frames.encode(FrameKind.RESULT, result)
    except MemoryError as error:
        lift()
        answer = frames.encode(FrameKind.OUT_OF_MEMORY, str(error))
    except Exception as error:  # noqa: BLE001  # whatever it is, the parent must hear of it
        lift()
        answer = _describe(error)
    frames.write(replies, answer)


def _resolve(target: str) -> Callable[..., Any]:
    module, _, name = target.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


def _do_nothing() -> None:
    pass


def _limit_cpu(limit_s: float | None) -> None:
    """Have the kernel end this process after so many more seconds of computing."""
    if limit_s is None or sys.platform == "win32":
        return
    resource = importlib.import_module("resource")
    used = time.process_time()
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    wanted = math.ceil(used + limit_s)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (wanted, hard))


def _limit_memory(limit_bytes: int | None) -> Callable[[], None]:
    """Limit the address space to what is in use now and `limit_bytes` more.

    Returns:
        A function that lifts the limit: the answer must get out after the call ran into it.
    """
    if limit_bytes is None or sys.platform != "linux":
        return _do_nothing
    resource = importlib.import_module("resource")
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    wanted = pages * resource.getpagesize() + limit_bytes
    before, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))

    def lift() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (before, hard))

    return lift


def _describe(error: Exception) -> list[Any]:
    """Return the frame of an exception: itself where it can travel, otherwise its text.

    Classes of other packages would drag their package into the parent, if they can be pickled.
    """
    if isinstance(error, OnnxPruneError):
        return frames.encode(FrameKind.ERROR, error)
    kind = type(error)
    trace = "".join(traceback.format_exception(error))
    line = f"{kind.__module__}.{kind.__qualname__}: {error}".removeprefix("builtins.")
    if kind.__module__ == "builtins" and _survives_pickling(error):
        error.add_note(f"In the child process:\n{trace}")
        return frames.encode(FrameKind.ERROR, error)
    return frames.encode(FrameKind.FAILURE, (line, trace))


def _survives_pickling(error: Exception) -> bool:
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  # our own bytes
    except Exception:  # noqa: BLE001  # anything may be among the arguments of an exception
        return False
    return True
