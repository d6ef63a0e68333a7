from __future__ import annotations

import collections
import fractions
import io
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from onnxprune.errors import InvalidConfigError, OnnxPruneError, ProviderUnavailableError
from onnxprune.providers.availability import Availability
from onnxprune.runtime import frames
from onnxprune.runtime.child import main as child_main
from onnxprune.targets import Interpreter, parse_target, places, there
from onnxprune.targets.answers import load_answer
from onnxprune.targets.remote import package_bytes


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("ssh://board", ["--", "board"]),
        ("ssh://pi@10.0.0.2:22/", ["-l", "pi", "-p", "22", "--", "10.0.0.2"]),
        ("ssh://[fe80::1%eth0]:8022", ["-p", "8022", "--", "fe80::1%eth0"]),
    ],
)
def test_ssh_addresses(text, end):
    command = parse_target(text).command(["a b", "$(c)", "'"])
    assert command[-1] == """exec 'a b' '$(c)' ''"'"''"""
    assert command[-1 - len(end) : -1] == end
    assert "BatchMode=yes" in command


@pytest.mark.parametrize(
    "text",
    [
        "", "board", "ssh:board", "ssh://", "ssh://-oProxyCommand=x", "ssh://-l@board",
        "ssh://board:0", "ssh://board:65536", "ssh://a b", "ssh://board/path", "ssh://a;b",
        "ssh://board\n", "adb://-x", "adb://a b", "http://board", "ssh://$(x)", "ssh://u;x@board",
    ],
)  # fmt: skip
def test_other_addresses_are_refused(text):
    with pytest.raises(InvalidConfigError, match="names no target"):
        parse_target(text)


def test_interpreters_are_those_of_the_target():
    target = parse_target("ssh://board")
    assert places({"cpu": Path("/a")}, None) == {"cpu": Path("/a")}
    found = places({"cpu": Path("/a")}, target)
    assert found[""] is target
    assert found["cpu"].command(["x"]) == target.command(["x"])
    assert found["cpu"].python == "/a"
    assert Interpreter("p").command(["p", "a b"]) == ["p", "a b"]


def _dumped(value):
    [_, body, *buffers] = frames.encode(frames.FrameKind.RESULT, value)
    return bytearray(body), [bytearray(b) for b in buffers]


@pytest.mark.parametrize(
    "value",
    [
        {"a": (1, 2.5, None, True, "x", b"y", 1 + 2j, {3}, frozenset({4}), range(5))},
        np.arange(6, dtype=np.float32).reshape(2, 3), np.float64(2.5), np.dtype("int8"),
        np.array(["a", None], object), Availability("built-in", "1", "x"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("protocol", [4, 5])
def test_values_arrive(value, protocol):
    for found in (load_answer(*_dumped(value)), load_answer(pickle.dumps(value, protocol))):
        np.testing.assert_equal(found, value)
        assert type(found) is type(value)


@pytest.mark.parametrize(
    "error", [ProviderUnavailableError("a", hint="b"), ValueError("c"), OSError(2, "d")]
)
def test_errors_arrive(error):
    found = load_answer(pickle.dumps(error))
    assert type(found) is type(error)
    assert str(found) == str(error)
    assert getattr(found, "hint", None) == getattr(error, "hint", None)


class _Calls:
    """Pickles as a call."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "value",
    [
        _Calls(subprocess.run, ["true"]), _Calls(eval, "1"), _Calls(getattr, "a", "join"),
        _Calls(exec, ""), _Calls(print, "x"), _Calls(__import__, "os"), _Calls(open, "/x"),
        _Calls(np.load, "/x"), _Calls(np.fromfile, "/x"), _Calls(child_main),
        _Calls(OnnxPruneError.__reduce__, OnnxPruneError("x")), _Calls(Path, "x"),
        collections.OrderedDict(), fractions.Fraction(1, 2), SystemExit(), np.random.default_rng(0),
    ],
)  # fmt: skip
def test_nothing_else_is_called(value):
    for protocol in (2, 5):
        with pytest.raises(pickle.UnpicklingError):
            load_answer(pickle.dumps(value, protocol))


@pytest.mark.parametrize("body", [b"", b"x", b"\x80\x05", pickle.dumps([1] * 9)[:-3]])
def test_broken_pickles_are_refused(body):
    with pytest.raises(pickle.UnpicklingError):
        load_answer(body)


def test_package_can_be_imported_from_its_archive(tmp_path):
    path = tmp_path / "package.zip"
    path.write_bytes(package_bytes())
    code = "import sys; sys.path.insert(0, sys.argv[1]); import onnxprune.bench.timing as t;"
    code += "import onnxprune.bench.footprint, onnxprune.providers.check; print(t.__file__);"
    code += "print('onnx' in sys.modules, 'pydantic' in sys.modules)"
    command = [sys.executable, "-I", "-c", code, str(path)]
    seen = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\n")
    assert seen[0].startswith(str(path))
    assert seen[1] == "False False"
    names = zipfile.ZipFile(io.BytesIO(package_bytes())).namelist()
    assert names == sorted(names)
    assert all(name.endswith(".py") for name in names)


def test_helper_takes_whole_files_only(tmp_path, capsys):
    source = tmp_path / "arrived"
    source.write_bytes(b"data")
    with pytest.raises(SystemExit, match="did not arrive"):
        there.main("take", str(tmp_path / "root"), "a/b", "0" * 64, str(source))
    there.main("look", str(tmp_path / "root"), "a/b", "a")
    assert '"present": ["a"]' in capsys.readouterr().out
    assert not source.exists()
