"""Pruning with samples: better than without, repeatable, and refused when they do not fit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from onnxprune import pipeline
from onnxprune.cli.main import app
from onnxprune.core.plan import PrunePlan
from onnxprune.demo import CALIBRATION, MODEL, load_digits
from onnxprune.errors import InvalidConfigError, PlanMismatchError
from onnxprune.runtime.session import open_session, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def accuracy(path: Path) -> float:
    images, labels = load_digits()
    [logits] = run(open_session(path, optimize=True), {"image": images})
    assert logits is not None
    return float((logits.argmax(axis=1) == labels).mean())


@pytest.fixture(scope="module")
def pruned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits model at half of its multiply-accumulates, repaired, with its plan beside it."""
    folder = tmp_path_factory.mktemp("repaired")
    report = pipeline.prune(
        MODEL, folder / "small.onnx", remove_macs=0.5, calibration=CALIBRATION, samples=96,
        plan_out=folder / "plan.json",
    )  # fmt: skip
    assert report.verified is not None
    assert report.verified.exact
    assert report.achieved.macs >= 0.5
    parts = ("samples", "moments", "scores", "allocation", "recovery", "joint")
    took = [report.seconds[f"calibrate.{part}"] for part in parts]
    assert 0 < sum(took) <= report.seconds["calibrate"]
    return folder


def test_samples_keep_what_magnitudes_destroy(pruned: Path, tmp_path: Path) -> None:
    pipeline.prune(MODEL, tmp_path / "l2.onnx", remove_macs=0.5, verify=False)
    assert accuracy(pruned / "small.onnx") > 0.96
    assert accuracy(tmp_path / "l2.onnx") < 0.9


def test_plan_and_repaired_weights_give_the_same_bytes(pruned: Path, tmp_path: Path) -> None:
    pipeline.apply(MODEL, pruned / "plan.json", tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == (pruned / "small.onnx").read_bytes()
    assert pipeline.verify(MODEL, pruned / "small.onnx", plan=pruned / "plan.json").passed


def test_a_plan_without_its_weights_is_refused(pruned: Path, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text((pruned / "plan.json").read_text())
    with pytest.raises(PlanMismatchError, match="safetensors"):
        pipeline.apply(MODEL, tmp_path / "plan.json", tmp_path / "small.onnx")
    plan = PrunePlan.model_validate_json((pruned / "plan.json").read_text())
    with pytest.raises(PlanMismatchError, match="beside its file"):
        pipeline.apply(MODEL, plan, tmp_path / "small.onnx")
    assert not (tmp_path / "small.onnx").exists()


def test_weights_of_another_plan_are_refused(pruned: Path, tmp_path: Path) -> None:
    text = json.loads((pruned / "plan.json").read_text())
    name = next(iter(text["repair"]["weights"]))
    text["repair"]["weights"][name] = "0" * 64
    (tmp_path / "plan.json").write_text(json.dumps(text))
    weights = text["repair"]["file"]
    (tmp_path / weights).write_bytes((pruned / weights).read_bytes())
    with pytest.raises(PlanMismatchError, match="does not belong"):
        pipeline.apply(MODEL, tmp_path / "plan.json", tmp_path / "small.onnx")


def test_the_command_takes_samples(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app,
        ["prune", str(MODEL), "-o", str(tmp_path / "small.onnx"), "--ratio", "0.25",
         "--calibration", str(CALIBRATION), "--samples", "48"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert (tmp_path / "small.onnx").exists()


@pytest.mark.parametrize(
    "option",
    [
        {"criterion": "obs"},
        {"criterion": "perturbation"},
        {"allocation": "knapsack"},
        {"allocation": "sensitivity"},
    ],
)
def test_methods_that_need_samples_say_so(option: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(InvalidConfigError, match="samples"):
        pipeline.prune(MODEL, tmp_path / "small.onnx", remove_macs=0.3, **option)


@pytest.mark.parametrize("kind", ["criterion", "allocation", "recovery"])
def test_unknown_methods_are_refused_with_what_there_is(kind: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfigError, match=f"no {kind} 'magic'") as error:
        pipeline.prune(MODEL, tmp_path / "small.onnx", remove_macs=0.3, **{kind: "magic"})
    assert "choose one of" in (error.value.hint or "")


def test_scores_of_another_tool(tmp_path: Path) -> None:
    analysis = pipeline.analyze(MODEL)
    entries = [{"group": g.id, "values": list(range(g.size))} for g in analysis.deps.groups]
    scores = tmp_path / "scores.json"
    scores.write_text(json.dumps({"format": "onnxprune.scores/1", "scores": entries}))
    made = pipeline.plan(analysis, ratio=0.25, criterion=f"file:{scores}")
    plain = [g for g, o in zip(made.groups, analysis.deps.groups, strict=False) if not o.balances]
    assert plain
    assert all(g.removed == list(range(len(g.removed))) for g in plain[:3])


def test_what_a_criterion_took_instead_is_noted(tmp_path: Path) -> None:
    report = pipeline.prune(MODEL, tmp_path / "small.onnx", ratio=0.25, criterion="bn-scale")
    assert any("no BatchNormalization" in note for note in report.notes)


@pytest.mark.parametrize(
    ("array", "match"),
    [
        (np.zeros((4, 3, 8, 8), np.float32), "image"),
        (np.full((4, 1, 8, 8), np.nan, np.float32), "finite"),
        (np.full((4, 1, 8, 8), "x"), "image"),
    ],
)
def test_samples_that_do_not_fit(array: np.ndarray, match: str, tmp_path: Path) -> None:
    samples, output = tmp_path / "samples.npz", tmp_path / "small.onnx"
    np.savez(samples, image=array)
    with pytest.raises(InvalidConfigError, match=match):
        pipeline.prune(MODEL, output, ratio=0.25, calibration=samples)
    assert not output.exists()


def test_the_model_runs_on_made_up_samples(cli: Callable, tmp_path: Path) -> None:
    """One setting of an input, found by what it is compared with; others lead out of bounds."""
    text = """<ir_version: 8, opset_import: ["" : 17]>
        g (float[N,64] x, int64 rate) => (float[1,4] y)
        <int64 wanted = {8000}, int64[1] first = {0}, int64[1] far = {999999}> {
        is = Equal(rate, wanted) row = Where(is, first, far) f = Gather(x, row)
        a = MatMul(f, v) r = Relu(a) y = MatMul(r, w) }"""
    model = onnx.parser.parse_model(text)
    noise = np.random.default_rng(0)
    for name, shape in (("v", (64, 16)), ("w", (16, 4))):
        weight = noise.standard_normal(shape).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(weight, name))
    onnx.save(model, tmp_path / "m.onnx")
    outcome = cli(
        "prune", tmp_path / "m.onnx", "-o", tmp_path / "p.onnx", "--remove-macs", 0.3,
        "--calibration", "synthetic", "--samples", 4,
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
