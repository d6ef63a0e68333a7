"""What `prune` says of the outputs on held-back samples, and the search that goes by it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner

from onnxprune import pipeline
from onnxprune.cli.main import app
from onnxprune.demo import CALIBRATION, MODEL
from onnxprune.errors import InvalidConfigError, TargetError

if TYPE_CHECKING:
    from pathlib import Path

METRIC = """
from onnxprune.demo import load_digits

def accuracy(run):
    images, labels = load_digits()
    [logits] = run({"image": images}).values()
    return (logits.argmax(1) == labels).mean()

def feeds():
    print("noise")
    for image in load_digits()[0][:40]:
        yield {"image": image[None]}
"""

FAST = ["--samples", "24", "--recovery", "bias"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "digits_code.py").write_text(METRIC)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_report_and_table(folder: Path) -> None:
    shown = run(
        "prune", MODEL, "-o", "small.onnx", "--ratio", "0.25", "--report", "report.json",
        "--calibration-entry", "digits_code:feeds", "--metric", "digits_code:accuracy", *FAST,
    )  # fmt: skip
    assert "4 samples that were held back" in shown
    assert "noise" not in shown
    report = json.loads((folder / "report.json").read_text())
    assert report["fidelity"]["samples"] == 4
    [output] = report["fidelity"]["outputs"]
    assert output["output"] == "logits"
    assert 0 < output["relative_error"] < 1
    assert 0 < output["top1_agreement"] <= 1
    assert report["metric"]["drop"] == report["metric"]["before"] - report["metric"]["after"]
    assert report["search"] is None


def test_a_plan_with_samples_is_what_prune_does(folder: Path) -> None:
    how = ("--ratio", "0.25", "--calibration", CALIBRATION, *FAST)
    run("prune", MODEL, "-o", "one.onnx", "--plan-out", "plan.json", *how)
    first = (folder / "plan.json").read_bytes()
    weights = (folder / "plan.json.safetensors").read_bytes()
    for name in ("plan.json", "plan.json.safetensors"):
        (folder / name).unlink()
    assert "would remain" in run("plan", MODEL, "-o", "plan.json", *how)
    assert (folder / "plan.json").read_bytes() == first
    assert (folder / "plan.json.safetensors").read_bytes() == weights
    run("apply", MODEL, "plan.json", "-o", "two.onnx")
    assert (folder / "one.onnx").read_bytes() == (folder / "two.onnx").read_bytes()


def test_a_plan_with_repaired_weights_needs_a_file() -> None:
    with pytest.raises(InvalidConfigError, match="beside its file"):
        pipeline.plan(MODEL, ratio=0.25, calibration=CALIBRATION)
    plan = pipeline.plan(MODEL, ratio=0.25, calibration=CALIBRATION, samples=24, recovery="none")
    assert plan.repair is None
    assert plan.groups


def test_made_up_samples_are_told(folder: Path) -> None:
    report = pipeline.prune(
        MODEL, folder / "small.onnx", ratio=0.25, calibration="synthetic", samples=16,
        recovery="bias",
    )  # fmt: skip
    assert any("random values" in note for note in report.notes)
    assert report.fidelity is not None


def test_few_samples_are_not_held_back(folder: Path) -> None:
    images = np.zeros((4, 1, 8, 8), np.float32)
    report = pipeline.prune(
        MODEL, folder / "small.onnx", ratio=0.25, calibration=[{"image": images}], recovery="bias"
    )
    assert report.fidelity is None
    assert any("4 samples are too few" in note for note in report.notes)


def test_the_largest_drop_is_kept_to(folder: Path) -> None:
    report = pipeline.prune(
        MODEL, folder / "small.onnx", max_drop=0.05, metric="digits_code:accuracy",
        criterion="l1", align=8,
    )  # fmt: skip
    assert report.metric is not None
    assert report.metric.drop <= 0.05
    assert report.requested == {"max_drop": 0.05}
    assert report.search is not None
    assert any(s.kept for s in report.search)
    assert any(not s.kept for s in report.search)
    assert report.achieved.macs >= max(s.remove_macs for s in report.search if s.kept)
    assert report.fidelity is None  # there are no samples


def test_a_drop_that_nothing_keeps_to(folder: Path) -> None:
    (folder / "falling.py").write_text(
        "import itertools, pathlib\n"
        "def score(run):\n"
        "    p = pathlib.Path('count'); n = int(p.read_text()) if p.exists() else 0\n"
        "    p.write_text(str(n + 1)); return -n\n"
    )
    with pytest.raises(TargetError, match="is lost") as caught:
        pipeline.prune(MODEL, folder / "small.onnx", max_drop=0.5, metric="falling:score")
    assert caught.value.exit_code == 1
    assert sorted(p.name for p in folder.glob("*.onnx")) == []
    assert not list(folder.glob(".onnxprune-*"))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"max_drop": 0.1}, "neither data nor a metric"),
        ({"max_drop": 0.1, "remove_macs": 0.5, "metric": "a:b"}, "a target of its own"),
        ({"max_drop": -1, "metric": "a:b"}, "wanted is a number from 0"),
        ({"ratio": 0.5, "metric": "no such"}, "wanted is module:function"),
        ({"ratio": 0.5, "metric": "no_such_module:f"}, "ModuleNotFoundError"),
        ({"ratio": 0.5, "calibration": "synthetic", "calibration_entry": "a:b"}, "one of them"),
        ({"ratio": 0.5, "calibration": "digits_code:feeds"}, "does not exist"),
    ],
)
def test_what_does_not_go_together(folder: Path, options: dict[str, object], told: str) -> None:
    with pytest.raises(InvalidConfigError, match=told):
        pipeline.prune(MODEL, folder / "small.onnx", **options)
    assert not (folder / "small.onnx").exists()
