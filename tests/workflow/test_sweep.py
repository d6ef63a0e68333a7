"""Every job of a sweep is done once, whatever is killed, here or on a cluster."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from onnxprune import workflow
from onnxprune.cli.main import run as command
from onnxprune.demo import MODEL
from onnxprune.errors import InvalidConfigError

if TYPE_CHECKING:
    from pathlib import Path

VARY = {"ratio": [0.1, 0.2, 0.3, 0.4], "criterion": ["l1", "l2", "random"], "seed": [0, 1]}


def rows(folder: Path) -> list[dict[str, Any]]:
    """Return the results in a directory."""
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def test_every_combination_once(tmp_path: Path) -> None:
    """Results are in the order of the jobs, and a second sweep does nothing."""
    vary = {"ratio": [0.2, 0.5], "criterion": ["l1", "l2"]}
    first = workflow.sweep(MODEL, tmp_path, vary=vary)
    assert [r["job"] for r in first.rows] == [0, 1, 2, 3]
    assert all(r["verified"]["exact"] and not r["error"] for r in first.rows)
    written = (tmp_path / "results.jsonl").read_bytes()
    again = workflow.sweep(MODEL, tmp_path, vary=vary)
    assert again.skipped == 4
    assert (tmp_path / "results.jsonl").read_bytes() == written
    more = workflow.sweep(MODEL, tmp_path, vary={"ratio": [0.5, 0.3], "criterion": ["l1", "l2"]})
    assert more.skipped == 2


def test_a_job_that_fails_is_a_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The others are done, and the exit status tells."""
    call = ["sweep", str(MODEL), "-o", str(tmp_path), "--vary", "remove-macs=0.3,0.9999"]
    assert command(call) == 1
    good, bad = rows(tmp_path)
    assert good["error"] is None
    assert bad["error"]
    assert "1 failed" in capsys.readouterr().out
    assert (tmp_path / good["file"]).exists()


def test_a_torn_line_is_dropped(tmp_path: Path) -> None:
    """What a kill left of a line does not count."""
    workflow.sweep(MODEL, tmp_path, vary={"ratio": [0.2, 0.5]})
    path = tmp_path / "results.jsonl"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2 + 40])
    again = workflow.sweep(MODEL, tmp_path, vary={"ratio": [0.2, 0.5]})
    assert again.skipped == 1
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("args", "part"),
    [
        (["--vary", "ratio"], "not of the form"),
        (["--vary", "ratios=0.1"], "ratios"),
        (["--vary", "ratio=2"], "ratio"),
        (["--vary", "ratio=0.1", "--scheduler", "slurm://x"], "no scheduler"),
        (["--vary", "ratio=0.1", "--vary", "ratio=0.2"], "twice"),
    ],
)
def test_mistakes(
    args: list[str], part: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One message and status 2."""
    assert command(["sweep", str(MODEL), "-o", str(tmp_path / "out"), *args]) == 2
    assert part in capsys.readouterr().err


def test_two_sweeps_do_not_share_a_directory(tmp_path: Path) -> None:
    """The second says so."""
    fcntl = pytest.importorskip("fcntl")
    with (tmp_path / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(InvalidConfigError, match="another sweep"):
            workflow.sweep(MODEL, tmp_path, vary={"ratio": [0.2]})


@pytest.mark.slow
def test_killed_twice_and_on_a_cluster(tmp_path: Path) -> None:
    """24 jobs: killed twice they are complete after a restart, and a cluster writes the same."""
    one, other = tmp_path / "one", tmp_path / "other"
    vary = [f"--vary={k}={','.join(map(str, v))}" for k, v in VARY.items()]
    call = [sys.executable, "-m", "onnxprune", "sweep", str(MODEL), *vary, "-o"]
    counts = []
    for _ in range(2):
        process = subprocess.Popen(
            [*call, str(one), "--jobs", "2"], start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        before = counts[-1] if counts else 0
        path = one / "results.jsonl"
        while not (path.exists() and path.read_bytes().count(b"\n") > before + 3):
            assert process.poll() is None, "the sweep ended too soon"
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        counts.append(path.read_bytes().count(b"\n"))
    assert counts[0] < counts[1] < 24
    assert subprocess.run([*call, str(one)], check=False, capture_output=True).returncode == 0
    assert sorted(r["job"] for r in rows(one)) == list(range(24))

    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None
    ) as cluster:
        address = cluster.scheduler_address.replace("tcp://", "dask://")
        done = subprocess.run(
            [*call, str(other), "--scheduler", address], check=False, capture_output=True, text=True
        )
    assert done.returncode == 0, done.stderr
    assert (one / "results.jsonl").read_bytes() == (other / "results.jsonl").read_bytes()
