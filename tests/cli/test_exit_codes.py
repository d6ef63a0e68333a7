"""Every exit status, and that an error is one message without a traceback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest

from onnxprune.errors import InternalError, ProviderUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BAD_USAGE = [
    ("--frobnicate", "No such option"),
    ("frobnicate", "No such command"),
    ("prune", "Missing argument 'MODEL'"),
    ("prune MODEL", "Missing option '-o'"),
    ("prune MODEL -o OUT", "wanted is one target"),
    ("prune MODEL -o OUT --ratio 0.5 --remove-macs 0.5", "wanted is one target"),
    ("prune MODEL -o OUT --ratio 1.5", "ratio is 1.5"),
    ("prune MODEL -o OUT --ratio nan", "ratio is nan"),
    ("prune MODEL -o OUT --remove-params 0", "remove_params is 0.0"),
    ("prune MODEL -o OUT --ratio half", "'half' is not a valid float"),
    ("prune MODEL -o OUT --max-bytes 10XB", "'10XB', which is no size"),
    ("prune MODEL -o OUT --ratio 0.5 --criterion magic", "there is no criterion 'magic'"),
    ("prune MODEL -o OUT --ratio 0.5 --allocation magic", "there is no allocation 'magic'"),
    ("prune MODEL -o OUT --ratio 0.5 --align 0", "align is 0"),
    ("prune MODEL -o OUT --ratio 0.5 --align many", "neither a whole number nor auto"),
    ("prune MODEL -o OUT --ratio 0.5 --min-channels 0", "min_channels is 0"),
    ("prune MODEL -o OUT --ratio 0.5 --max-group-ratio 2", "max_group_ratio is 2.0"),
    ("prune MODEL -o OUT --ratio 0.5 --seed -1", "seed is -1"),
    ("prune MODEL -o OUT --ratio 0.5 --exclude nothing*", "exclude 'nothing*' matches no group"),
    ("prune MODEL -o OUT --ratio 0.5 --dims N", "not of the form NAME=SIZE"),
    ("prune MODEL -o OUT --ratio 0.5 --dims Q=2", "which no input has"),
    ("prune ABSENT -o OUT --ratio 0.5", "absent.onnx"),
    ("prune TEXT -o OUT --ratio 0.5", "text.onnx"),
    ("prune MODEL -o ABSENT/out.onnx --ratio 0.5", "is not a directory"),
    ("prune MODEL -o MODEL --ratio 0.5", "never changed"),
    ("prune MODEL -o LINK --ratio 0.5", "symbolic link"),
    ("prune MODEL -o /proc/out.onnx --ratio 0.5", "cannot be written"),
    ("prune MODEL -o OUT --ratio 0.5 --report MODEL", "never changed"),
    ("prune MODEL -o OUT --ratio 0.5 --report OUT", "have the same name"),
    ("plan MODEL -o ABSENT/plan.json --ratio 0.5", "is not a directory"),
    ("apply MODEL TEXT -o OUT", "is no plan that can be read"),
    ("apply MODEL ABSENT -o OUT", "absent.onnx"),
    ("analyze MODEL --why nothing", "there is no value or initializer 'nothing'"),
    ("analyze MODEL --graph OUT", "GraphML or DOT"),
    ("verify MODEL TEXT", "text.onnx"),
    ("schema magic", "'magic' is not one of"),
]


@pytest.mark.parametrize(("line", "fragment"), BAD_USAGE, ids=[line for line, _ in BAD_USAGE])
def test_bad_usage_and_bad_input(
    line: str, fragment: str, cli: Callable, model: Path, tmp_path: Path, files: Callable
) -> None:
    (tmp_path / "text.onnx").write_text("hello")
    (tmp_path / "link.onnx").symlink_to(tmp_path / "elsewhere.onnx")
    places = {"MODEL": model, "OUT": tmp_path / "out.onnx", "ABSENT": tmp_path / "absent.onnx",
              "TEXT": tmp_path / "text.onnx", "LINK": tmp_path / "link.onnx"}  # fmt: skip
    words = line.split()
    for name, path in places.items():
        words = [w.replace(name, str(path)) for w in words]
    before = {n: (tmp_path / n).lstat().st_mtime_ns for n in files()}

    outcome = cli(*words)

    assert outcome.code == 2, outcome.err
    assert fragment in outcome.err
    assert_one_message(outcome.err)
    assert not outcome.out
    assert {n: (tmp_path / n).lstat().st_mtime_ns for n in files()} == before


def assert_one_message(text: str) -> None:
    assert text.startswith("error: ")
    assert len(text.splitlines()) <= 20
    assert "Traceback" not in text


def test_nothing_to_prune(cli: Callable, fixed: Path, tmp_path: Path, files: Callable) -> None:
    outcome = cli("prune", fixed, "-o", tmp_path / "out.onnx", "--ratio", 0.5)
    assert outcome.code == 1
    assert "nothing can be removed" in outcome.err
    assert "graph output" in outcome.err
    assert_one_message(outcome.err)
    assert files() == {"fixed.onnx"}


def test_nothing_exact_to_prune(cli: Callable, normalised: Path, tmp_path: Path) -> None:
    outcome = cli("prune", normalised, "-o", tmp_path / "out.onnx", "--ratio", 0.5)
    assert outcome.code == 1
    assert "--allow-approximate" in outcome.err


def test_everything_is_excluded(cli: Callable, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    outcome = cli("prune", model, "-o", out, "--ratio", 0.5, "--exclude", "conv*")
    assert outcome.code == 1
    assert "excluded" in outcome.err


def test_already_small_enough(cli: Callable, model: Path, tmp_path: Path) -> None:
    outcome = cli("prune", model, "-o", tmp_path / "out.onnx", "--max-bytes", "1GB")
    assert outcome.code == 1
    assert "within the target" in outcome.err


def test_out_of_reach(cli: Callable, model: Path, tmp_path: Path) -> None:
    outcome = cli("prune", model, "-o", tmp_path / "out.onnx", "--max-bytes", 10)
    assert outcome.code == 1
    assert "out of reach" in outcome.err


def test_weights_that_are_no_numbers(
    cli: Callable, build: Callable, tmp_path: Path, files: Callable
) -> None:
    path = build(tmp_path / "nan.onnx")
    proto = onnx.load(path)
    array = onnx.numpy_helper.to_array(proto.graph.initializer[0]).copy()
    array[3, 0, 0, 0] = np.nan
    proto.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(array, "w1"))
    onnx.save(proto, path)
    outcome = cli("prune", path, "-o", tmp_path / "out.onnx", "--ratio", 0.5)
    assert outcome.code == 2
    assert "hold NaN or infinity" in outcome.err
    assert files() == {"nan.onnx"}


@pytest.mark.parametrize(
    ("error", "code", "fragment"),
    [
        (KeyError("lost"), 4, "internal: KeyError: 'lost'"),
        (InternalError("an invariant"), 4, "internal: an invariant"),
        (ProviderUnavailableError("none here"), 3, "none here"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 2, "too little memory"),
        (OSError(28, "No space left on device", "out.onnx"), 2, "'out.onnx': No space left"),
    ],
)
def test_what_happens_inside(
    error: BaseException,
    code: int,
    fragment: str,
    cli: Callable,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("onnxprune.pipeline.loading.analyze_model", fail)
    outcome = cli("analyze", model)
    assert outcome.code == code
    assert fragment in outcome.err
    assert "Traceback" not in outcome.err
    if code == 4:
        assert "report it" in outcome.err

    debugged = cli("analyze", model, "--debug")
    assert debugged.code == code
    assert ("Traceback" in debugged.err) == (code != 130)
    assert ("Traceback" in cli("--debug", "analyze", model).err) == (code != 130)


def test_long_errors_are_cut(cli: Callable, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise InternalError("\n".join(map(str, range(100))))

    monkeypatch.setattr("onnxprune.pipeline.loading.analyze_model", fail)
    outcome = cli("analyze", model)
    assert len(outcome.err.splitlines()) == 20
    assert "more lines" in outcome.err


def test_help_and_version(cli: Callable) -> None:
    assert cli().code == 0
    assert "prune" in cli("--help").out
    assert cli("--version").out == "onnxprune 0.1.0\n"
    assert "--remove-macs" in cli("prune", "-h").out
