"""What the tests of `isolate` call in a child process."""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

import numpy as np

from onnxprune.errors import InvalidModelError


class ForeignError(Exception):
    """An exception that is neither Python's nor the package's."""


def echo(**kwargs):
    return kwargs


def abort() -> NoReturn:
    os.write(2, b"first line\nterminate called \x1b[31mloudly\n")
    os.abort()


def segfault() -> None:
    ctypes.string_at(0)


def raise_signal(*, number):
    os.kill(os.getpid(), number)
    time.sleep(60)


def leave(*, status) -> NoReturn:
    os._exit(status)


def hog() -> None:
    kept = []
    while True:
        kept.append(np.ones(1 << 20))


def native_hog() -> NoReturn:
    os.write(2, b"terminate called after throwing an instance of 'std::bad_alloc'\n")
    os.abort()


def allocate(*, size, ballast):
    assert ballast.size > size
    return int(np.ones(size, np.uint8)[::4096].sum())


def compute() -> NoReturn:
    while True:
        pass


def sleep(*, pid_file=None) -> None:
    if pid_file is not None:
        Path(pid_file).write_text(str(os.getpid()), encoding="ascii")
    time.sleep(60)


def sleep_with_child(*, progress) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    progress(child.pid, 0)
    child.wait()


def raise_ours() -> NoReturn:
    raise InvalidModelError("seen 3, wanted 4", hint="try 4")


def raise_builtin():
    return {}["missing"]


def raise_unpicklable() -> NoReturn:
    raise ValueError(lambda: None)


def raise_foreign() -> NoReturn:
    raise ForeignError("from \x1b[31mafar")


def unpicklable_result():
    return lambda: None


def shout():
    os.write(1, b"native banner\n" * 100_000)
    sys.stdout.write("python banner\n")
    sys.stderr.write("to stderr\n")
    return sys.stdin.read(), os.read(0, 1)


def shout_and_die() -> NoReturn:
    os.write(1, b"x" * 1_000_000)
    os.write(2, b"the end")
    os.abort()


def double(*, array):
    return {"twice": array * 2, "same": array, "writable": array.flags.writeable}


def count(*, total, progress=None):
    for done in range(total):
        progress(done + 1, total)
    return total


def environment():
    return {
        "main": getattr(sys.modules["__main__"], "__file__", None),
        "modules": sorted(sys.modules),
        "path": sys.path,
        "core_limit": resource.getrlimit(resource.RLIMIT_CORE),
    }
