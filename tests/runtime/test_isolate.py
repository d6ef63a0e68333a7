"""A child process turns every way to fail into an error with a name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import onnxprune.errors
from onnxprune.errors import InternalError, InvalidModelError
from onnxprune.runtime.isolate import (
    IsolatedCrashError,
    IsolatedMemoryError,
    IsolatedTimeoutError,
    run_isolated,
)

_MIB = 1 << 20
_linux = pytest.mark.skipif(sys.platform != "linux", reason="limits are enforced on Linux")


def _wait_until(condition, *, timeout_s=10.0):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _is_alive(pid):
    try:
        # A killed process whose new parent does not collect it stays as a zombie.
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_returns_the_result(isolated):
    assert isolated("echo", a=1, b=["x", None]) == {"a": 1, "b": ["x", None]}


def test_arrays_travel_both_ways(isolated):
    array = np.arange(6 * _MIB, dtype=np.float32).reshape(2, -1)
    result = isolated("double", array=array)
    np.testing.assert_array_equal(result["twice"], array * 2)
    np.testing.assert_array_equal(result["same"], array)
    assert result["writable"]
    result["same"][0, 0] = 7  # as an array of one's own


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 3), np.int8),
        np.array(5.0),
        np.arange(12).reshape(3, 4).T,
        np.arange(12)[::2],
        np.array(["a", "b"], object),
    ],
    ids=["empty", "scalar", "fortran", "strided", "strings"],
)
def test_odd_arrays_travel(isolated, array):
    result = isolated("echo", array=array)["array"]
    assert result.dtype == array.dtype
    np.testing.assert_array_equal(result, array)


def test_memory_mapped_arrays_travel(isolated, tmp_path):
    np.save(tmp_path / "a.npy", np.arange(1000))
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    np.testing.assert_array_equal(isolated("echo", array=mapped)["array"], mapped)


def test_child_is_fresh_and_light(isolated):
    seen = isolated("environment")
    assert seen["main"] is None
    heavy = {"onnx", "onnxruntime", "scipy", "networkx", "click", "pydantic", "pytest"}
    assert heavy.isdisjoint(seen["modules"])
    assert "" not in seen["path"]
    assert seen["core_limit"] == (0, 0)


def test_output_never_reaches_stdout(isolated, capfd):
    assert isolated("shout") == ("", b"")
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


@pytest.mark.parametrize(
    ("name", "kwargs", "text"),
    [
        ("abort", {}, r"killed by SIGABRT; its last words: terminate called \\x1b\[31mloudly"),
        ("segfault", {}, "killed by SIGSEGV"),
        ("raise_signal", {"number": 9}, "killed by SIGKILL.*run out of memory"),
        ("leave", {"status": 3}, "left with status 3"),
        ("leave", {"status": 0}, "left with status 0 and without an answer"),
    ],
)
def test_crash(isolated, name, kwargs, text):
    with pytest.raises(IsolatedCrashError, match=text) as caught:
        isolated(name, task="running 'm.onnx'", **kwargs)
    assert str(caught.value).startswith("running 'm.onnx': the child process ")


def test_output_of_a_crash_is_bounded(isolated):
    with pytest.raises(IsolatedCrashError) as caught:
        isolated("shout_and_die")
    assert len(caught.value.output) <= 64 << 10
    assert caught.value.output.endswith("xthe end")
    assert len(str(caught.value)) < 1000


@_linux
def test_memory_limit(isolated):
    with pytest.raises(IsolatedMemoryError, match="memory of 128 MiB it was given"):
        isolated("hog", memory_limit_bytes=128 * _MIB)


@_linux
def test_memory_limit_in_native_code(isolated):
    with pytest.raises(IsolatedMemoryError, match="memory of 128 MiB it was given"):
        isolated("native_hog", memory_limit_bytes=128 * _MIB)


@_linux
def test_memory_limit_is_on_top_of_interpreter_and_arguments(isolated):
    ballast = np.zeros(100 * _MIB, np.uint8)
    limit = 64 * _MIB
    result = isolated("allocate", size=48 * _MIB, ballast=ballast, memory_limit_bytes=limit)
    assert result == 48 * _MIB // 4096


@_linux
def test_result_may_need_more_than_the_limit(isolated):
    array = np.zeros(40 * _MIB, np.uint8)
    assert isolated("echo", array=array, memory_limit_bytes=8 * _MIB)["array"].size == array.size


def test_timeout(isolated):
    start = time.monotonic()
    with pytest.raises(IsolatedTimeoutError, match=r"not done after 0\.3 s"):
        isolated("sleep", timeout_s=0.3)
    assert time.monotonic() - start < 5


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_computing_is_limited(isolated):
    with pytest.raises(IsolatedTimeoutError, match="not done after 1 s of computing"):
        isolated("compute", cpu_limit_s=1, timeout_s=120)


def test_timeout_before_the_request_is_read(isolated):
    with pytest.raises(IsolatedTimeoutError):
        isolated("echo", array=np.zeros(64 * _MIB, np.uint8), timeout_s=0)


def test_our_errors_keep_their_class_and_hint(isolated):
    with pytest.raises(InvalidModelError) as caught:
        isolated("raise_ours")
    assert caught.value.message == "seen 3, wanted 4"
    assert caught.value.hint == "try 4"


def test_errors_of_python_keep_their_class(isolated):
    with pytest.raises(KeyError, match="missing") as caught:
        isolated("raise_builtin")
    assert "isolated_targets.py" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("raise_unpicklable", "isolated_targets:raise_unpicklable: ValueError: <function"),
        ("raise_foreign", r"isolated_targets\.ForeignError: from \\x1b\[31mafar"),
    ],
)
def test_other_errors_are_quoted(isolated, name, text):
    with pytest.raises(InternalError, match=text) as caught:
        isolated(name)
    assert "Traceback" in caught.value.__notes__[0]


@pytest.mark.parametrize("target", ["nothing_there:f", "math:nothing_there"])
def test_missing_target(target):
    with pytest.raises((ModuleNotFoundError, AttributeError), match="nothing_there"):
        run_isolated(target, {}, timeout_s=30, memory_limit_bytes=None)


def test_unpicklable_result(isolated):
    with pytest.raises(Exception, match=r"(?i)pickle"):
        isolated("unpicklable_result")


def test_unpicklable_argument(isolated):
    with pytest.raises(Exception, match=r"(?i)pickle"):
        isolated("echo", function=lambda: None)


def test_progress(isolated):
    seen = []
    assert isolated("count", total=50, progress=lambda *step: seen.append(step)) == 50
    assert seen == [(done + 1, 50) for done in range(50)]


def test_error_in_progress_callback_kills_the_process_group(isolated):
    pids = []

    def stop(pid, _total):
        assert _is_alive(pid)
        pids.append(pid)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        isolated("sleep_with_child", progress=stop)
    _wait_until(lambda: not _is_alive(pids[0]))


def test_interrupt_kills_the_child(isolated, tmp_path):
    pid_file = tmp_path / "pid"

    def interrupt():
        _wait_until(lambda: pid_file.exists() and pid_file.read_text(encoding="ascii"))
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        isolated("sleep", pid_file=str(pid_file))
    thread.join()
    assert not _is_alive(int(pid_file.read_text(encoding="ascii")))


def test_death_of_the_parent_kills_the_child(tmp_path):
    pid_file = tmp_path / "pid"
    paths = [str(Path(__file__).parent), str(Path(onnxprune.errors.__file__).parents[1])]
    script = (
        f"import sys; sys.path[:0] = {paths!r}\n"
        "from onnxprune.runtime.isolate import run_isolated\n"
        f"run_isolated('isolated_targets:sleep', {{'pid_file': {str(pid_file)!r}}},"
        " timeout_s=60, memory_limit_bytes=None)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script]) as parent:
        _wait_until(lambda: pid_file.exists() and pid_file.read_text(encoding="ascii"))
        parent.kill()
    pid = int(pid_file.read_text(encoding="ascii"))
    _wait_until(lambda: not _is_alive(pid))
