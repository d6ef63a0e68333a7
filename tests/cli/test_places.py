"""Places that files may not be read from or written to, full disks, and kills in the middle."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="FIFOs, links and signals")


def snapshot(folder: Path) -> dict[str, bytes | str]:
    """Return names and contents of everything in a folder."""
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = str(path.readlink())
        else:
            found[name] = path.read_bytes() if path.is_file() else "other"
    return found


INPUTS = {
    "a pipe": os.mkfifo,
    "a link to a pipe": lambda p: (os.mkfifo(p.with_name("pipe")), p.symlink_to("pipe")),
    "a device": lambda p: p.symlink_to("/dev/zero"),
    "a terminal": lambda p: p.symlink_to("/dev/tty"),
    "a directory": lambda p: p.mkdir(),
    "a link to itself": lambda p: p.symlink_to(p.name),
    "a link to nothing": lambda p: p.symlink_to("nothing"),
    "an LFS pointer": lambda p: p.write_text("version https://git-lfs.github.com/spec/v1\n"),
    "two models": lambda p: p.write_bytes((p.parent / "model.onnx").read_bytes() * 2),
    "a web page": lambda p: p.write_text("<html><script>alert(1)</script>"),
}


@pytest.mark.parametrize("make", INPUTS.values(), ids=INPUTS)
def test_inputs_refused(make: Callable, cli: Callable, model: Path, tmp_path: Path) -> None:
    odd, out = tmp_path / "odd.onnx", tmp_path / "out.onnx"
    make(odd)
    before = snapshot(tmp_path)
    lines = (
        ("analyze", odd), ("prune", odd, "-o", out, "--ratio", 0.3), ("verify", model, odd),
        ("verify", odd, model), ("plan", odd, "-o", out, "--ratio", 0.3),
        ("apply", odd, odd, "-o", out), ("apply", model, odd, "-o", out),
    )  # fmt: skip
    for line in lines:
        outcome = cli(*line)
        assert outcome.code == 2, line
        assert not outcome.out
    assert snapshot(tmp_path) == before


DESTINATIONS = (
    "external.onnx", "sub/../external.onnx", "sub/../sub/.././external.onnx", "up/external.onnx",
    "hard.onnx", "link.onnx", "up/link.onnx", "weights.bin", "up/weights.bin", "dangling", "sub",
    "pipe", "absent/out", "external.onnx/out", "/dev/null", "/dev/full",
)  # fmt: skip


@pytest.mark.parametrize("option", ["-o", "--plan-out", "--report", "--json"])
@pytest.mark.parametrize("place", DESTINATIONS)
def test_destinations_refused(
    option: str, place: str, cli: Callable, external: Path, tmp_path: Path
) -> None:
    (tmp_path / "hard.onnx").hardlink_to(external)
    (tmp_path / "sub").mkdir()
    (tmp_path / "up").symlink_to(".")
    (tmp_path / "link.onnx").symlink_to("external.onnx")
    (tmp_path / "dangling").symlink_to("nothing")
    os.mkfifo(tmp_path / "pipe")
    before = snapshot(tmp_path)
    line = [
        "prune",
        external,
        "-o",
        tmp_path / "out.onnx",
        "--ratio",
        0.3,
        option,
        tmp_path / place,
    ]
    if option == "--json":
        line = ["analyze", external, option, tmp_path / place]
    outcome = cli(*line)
    assert outcome.code == 2
    assert not outcome.out
    assert snapshot(tmp_path) == before


FULL = {
    "prune": "prune MODEL -o OUT --ratio 0.3",
    "prune without verification": "prune MODEL -o OUT --ratio 0.3 --no-verify",
    "a report": "prune MODEL -o OUT --ratio 0.3 --no-verify --report REPORT",
    "a plan": "plan MODEL -o OUT --ratio 0.3",
    "an analysis": "analyze MODEL --json OUT",
    "a picture": "analyze MODEL --graph OUT.dot",
}


@pytest.mark.parametrize("line", FULL.values(), ids=FULL)
@pytest.mark.parametrize("size", [0, 500])
def test_full_disk(line: str, size: int, cli: Callable, model: Path, tmp_path: Path) -> None:
    places = {"MODEL": model, "OUT": tmp_path / "out", "REPORT": tmp_path / "report.json"}
    words = line.split()
    for name, path in places.items():
        words = [w.replace(name, str(path)) for w in words]
    before = snapshot(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        outcome = cli(*words)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert outcome.code == 2
    assert "File too large" in outcome.err
    assert snapshot(tmp_path) == before


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_killed_at_any_time(number: int, build: Callable, tmp_path: Path) -> None:
    """Whenever a kill comes, there is a whole result or none."""
    model = build(tmp_path / "model.onnx", width=256)
    out = tmp_path / "out.onnx"
    command = [sys.executable, "-m", "onnxprune", "prune", str(model), "-o", str(out),
               "--ratio", "0.3", "--no-verify"]  # fmt: skip
    start = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    took = time.monotonic() - start
    wanted = out.read_bytes()
    for step in range(12):
        out.unlink(missing_ok=True)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            time.sleep(took * (0.4 + 0.05 * step))
            process.send_signal(number)
            _, err = process.communicate()
        assert b"Traceback" not in err
        deadline = time.monotonic() + 20
        while left := {p.name for p in tmp_path.iterdir()} - {"model.onnx", "out.onnx"}:
            assert time.monotonic() < deadline, left
            time.sleep(0.02)
        assert not out.exists() or out.read_bytes() == wanted
