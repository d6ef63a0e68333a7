"""stdout for results, stderr for the rest, and nobody minds a reader who leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HEAVY = {
    "numpy",
    "onnx",
    "onnxruntime",
    "networkx",
    "scipy",
    "pydantic",
    "rich",
    "onnx_graphsurgeon",
}


def program(*args: object, **options: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "onnxprune", *map(str, args)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, **{**pipes, **options})


def test_json_and_nothing_else(model: Path) -> None:
    with program("analyze", model, "--json", "-") as process:
        out, err = process.communicate()
    assert json.loads(out)["format"] == "onnxprune.analysis/1"
    assert err == b""
    assert process.returncode == 0


def test_no_progress_off_a_terminal(model: Path, tmp_path: Path) -> None:
    with program("prune", model, "-o", tmp_path / "out.onnx", "--ratio", 0.5) as process:
        out, err = process.communicate()
    assert err == b""
    assert b"\x1b" not in out
    assert not any(line.endswith(b" ") for line in out.splitlines())


@pytest.mark.parametrize("args", [("analyze", "MODEL"), ("analyze", "MODEL", "--json", "-"),
                                  ("schema", "analysis")])  # fmt: skip
def test_a_reader_who_leaves(args: tuple[str, ...], model: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    with program(*(str(model) if a == "MODEL" else a for a in args), stdout=write) as process:
        os.close(write)
        _, err = process.communicate()
    assert err == b""
    assert process.returncode == 141


def test_names_that_the_terminal_cannot_show(build: Callable, tmp_path: Path) -> None:
    path = build(tmp_path / "model.onnx", prefix="größe_")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    with program("analyze", path, env=environment) as process:
        out, err = process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert b"gr\\xf6\\xdfe_w1" in out


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from onnxprune.cli.main import run; run(['--help']); run(['prune', '--help']);"
        f"sys.exit(str({HEAVY!r} & set(sys.modules)) if {HEAVY!r} & set(sys.modules) else 0)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert found.returncode == 0, found.stderr


def test_progress_on_a_terminal(model: Path, tmp_path: Path) -> None:
    pty = pytest.importorskip("pty")
    reader, terminal = pty.openpty()
    process = program(
        "prune", model, "-o", tmp_path / "out.onnx", "--ratio", 0.5, stderr=terminal,
        env={**os.environ, "TERM": "xterm"},
    )  # fmt: skip
    os.close(terminal)
    shown = b""
    while True:
        try:
            chunk = os.read(reader, 4096)
        except OSError:  # Linux says so when the other end is closed
            break
        if not chunk:
            break
        shown += chunk
    out, _ = process.communicate()
    os.close(reader)
    assert b"comparing with the masked original" in shown
    assert b"comparing" not in out
