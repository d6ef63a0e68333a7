"""Nothing is left behind, whatever ends the process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from onnxprune.errors import InvalidConfigError
from onnxprune.pipeline import staging
from onnxprune.pipeline.staging import Staging

if TYPE_CHECKING:
    from collections.abc import Callable

# Prunes for ever: verification says that it began, and never comes to an end.
ENDLESS = """
import sys, time
from onnxprune.pipeline import output
from onnxprune.cli.main import main
def verify(*_, **__):
    print("verifying", flush=True)
    time.sleep(60)
output.verify_cut = verify
sys.exit(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGKILL"])
def test_signals(number: str, model: Path, tmp_path: Path, files: Callable) -> None:
    command = [sys.executable, "-c", ENDLESS, "prune", str(model), "-o", str(tmp_path / "out.onnx"),
               "--ratio", "0.5"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"verifying\n"
        assert len(files()) == 2
        process.send_signal(getattr(signal, number))
        _, err = process.communicate()
    expected = {"SIGINT": 130, "SIGTERM": 143, "SIGKILL": -signal.SIGKILL}
    assert process.returncode == expected[number]
    assert b"Traceback" not in err
    deadline = time.monotonic() + 10
    while len(files()) > 1 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert files() == {"model.onnx"}


def test_publishes_both_files_or_none(
    tmp_path: Path, files: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("out.onnx", "out.onnx.data"):
        (tmp_path / name).write_text(f"old {name}")
    replace = Path.replace

    def failing(self: Path, target: Path) -> Path:
        if target.name == "out.onnx":
            raise OSError(28, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", failing)
    with Staging(tmp_path / "out.onnx", ()) as stage:
        stage.path.write_text("new")
        data = stage.path.with_name("out.onnx.data")
        data.write_text("new data")
        with pytest.raises(InvalidConfigError, match="No space left"):
            stage.publish(data)
    assert files() == {"out.onnx", "out.onnx.data"}
    assert (tmp_path / "out.onnx").read_text() == "old out.onnx"
    assert (tmp_path / "out.onnx.data").read_text() == "old out.onnx.data"


def test_works_without_a_shell(
    tmp_path: Path, files: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "_SHELL", "/nowhere/sh")
    with Staging(tmp_path / "out.onnx", ()) as stage:
        stage.path.write_text("new")
        stage.publish(None)
    assert files() == {"out.onnx"}


def test_the_private_directory_is_private(tmp_path: Path) -> None:
    with Staging(tmp_path / "out.onnx", ()) as stage:
        assert stage.directory.parent == tmp_path
        if os.name == "posix":
            assert stage.directory.stat().st_mode & 0o077 == 0
