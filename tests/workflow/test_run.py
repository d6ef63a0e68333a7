"""A configuration is carried out once, goes on where it stopped, and never passes by accident."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from onnxprune import pipeline, workflow
from onnxprune.cli.main import run as command
from onnxprune.config import PruneSection
from onnxprune.demo import CALIBRATION, MODEL
from onnxprune.errors import InvalidConfigError, PlanMismatchError
from onnxprune.planning.options import PlanOptions

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = """
[run]
model = "model.onnx"
output = "out"
[prune]
ratio = 0.5
[check]
max-macs-ratio = {limit}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A model and a configuration."""
    (tmp_path / "model.onnx").write_bytes(MODEL.read_bytes())
    (tmp_path / "onnxprune.toml").write_text(CONFIG.format(limit=0.6))
    return tmp_path


def outcomes(folder: Path, **kwargs: bool) -> dict[str, str]:
    """Run a project and return what became of each step."""
    report = workflow.run(folder / "onnxprune.toml", **kwargs)
    return {step.name: step.outcome for step in report.steps}


def test_unchanged_inputs_cost_nothing(project: Path) -> None:
    """All is made once; then nothing; then what a change reaches."""
    made = dict.fromkeys(("prune", "check", "report"), "made")
    assert outcomes(project, dry=True) == dict.fromkeys(made, "would run")
    assert not (project / "out").exists()
    assert outcomes(project) == made
    assert (project / "out/report.html").stat().st_size > 10_000
    before = (project / "out/model.onnx").stat().st_mtime_ns
    assert outcomes(project) == dict.fromkeys(made, "unchanged")
    assert (project / "out/model.onnx").stat().st_mtime_ns == before
    (project / "onnxprune.toml").write_text(CONFIG.format(limit=0.55))
    assert outcomes(project) == made | {"prune": "unchanged"}
    (project / "out/model.onnx").write_bytes(b"damaged")
    assert outcomes(project)["prune"] == "made"
    assert outcomes(project, fresh=True) == made


def test_an_interrupted_run_goes_on(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was finished is not done again."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("onnxprune.workflow.configured.check", interrupted)
        with pytest.raises(KeyboardInterrupt):
            outcomes(project)
    assert outcomes(project) == {"prune": "unchanged", "check": "made", "report": "made"}


def test_a_failed_check_stays_failed(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is made again each time, the exit status is its own, and the report is written."""
    (project / "onnxprune.toml").write_text(CONFIG.format(limit=0.01))
    for _ in range(2):
        assert command(["run", "--config", str(project / "onnxprune.toml")]) == 1
        captured = capsys.readouterr()
        assert "check: failed" in captured.out
        assert "0.01" in captured.err
    assert "not passed" in (project / "out/report.html").read_text()


def retrained(path: Path, *, widen: bool = False) -> None:
    """Write the model with other weights."""
    model = onnx.load(MODEL)
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.float32:
            noise = np.random.default_rng(1).normal(size=array.shape).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(array * (1 + 0.01 * noise), tensor.name))
    if widen:
        onnx.save(onnx.load(MODEL), path)
        pipeline.prune(path, path.with_name("narrow.onnx"), ratio=0.2, verify=False)
        path.write_bytes(path.with_name("narrow.onnx").read_bytes())
        return
    onnx.save(model, path)


def test_a_committed_plan_fits_the_retrained_model(project: Path) -> None:
    """The plan is carried out on other weights, and refused where shapes no longer fit."""
    (project / "plan.json").write_text(pipeline.plan(MODEL, ratio=0.5).to_json())
    text = CONFIG.format(limit=0.6).replace("[prune]\nratio = 0.5", 'plan = "plan.json"')
    (project / "onnxprune.toml").write_text(text + "verified = true\nprovenance = true\n")
    retrained(project / "model.onnx")
    assert outcomes(project)["check"] == "made"
    document = json.loads((project / "out/prune.json").read_text())
    assert document["verified"]["exact"]
    retrained(project / "model.onnx", widen=True)
    with pytest.raises(PlanMismatchError, match=r"does not fit .*group"):
        outcomes(project)


def test_repaired_weights_are_not_for_other_models(project: Path) -> None:
    """They were fitted to the weights of one model."""
    plan = project / "plan.json"
    pipeline.plan(MODEL, ratio=0.5, calibration=CALIBRATION, samples=16, output=plan)
    pipeline.apply(MODEL, plan, project / "same.onnx", retrained=True)
    retrained(project / "model.onnx")
    with pytest.raises(PlanMismatchError, match="repairs weights"):
        pipeline.apply(project / "model.onnx", plan, project / "other.onnx", retrained=True)
    assert not (project / "other.onnx").exists()


@pytest.mark.parametrize(
    ("config", "part"),
    [
        ("", "names no the model|no model"),
        ('[run]\nmodel = "m.onnx"\n', "output"),
        ('[run]\nmodel = "m.onnx"\noutput = "o"\n', r"neither a section \[prune\] nor a plan"),
        ('[run]\nmodell = "m.onnx"\n', "modell"),
        ("[prune]\nratio = 2\n", "ratio"),
        ("[prune]\nremove-mac = 0.5\n", "remove-mac"),
    ],
)
def test_mistakes(config: str, part: str, tmp_path: Path) -> None:
    """Unknown keys and missing ones are one message."""
    path = tmp_path / "onnxprune.toml"
    path.write_text(config)
    with pytest.raises(InvalidConfigError, match=part):
        workflow.run(path)


def test_the_section_has_every_option() -> None:
    """What `prune` takes can stand in a configuration."""
    own = {"output", "verify", "plan_out", "report", "progress", "model", "options", "return"}
    options = {*PlanOptions.__annotations__, *pipeline.prune.__annotations__} - own
    assert options == set(PruneSection.model_fields)
