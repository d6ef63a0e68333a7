"""The main job: what is written, what is said about it, and what is never left behind."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from onnxprune import pipeline
from onnxprune.core.plan import PrunePlan
from onnxprune.errors import PlanMismatchError
from onnxprune.planning.options import make_settings
from onnxprune.report.models import PruneReport
from onnxprune.verification import Verification
from onnxprune.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

EXACT = Verification(exact=True, max_abs=0.0, max_rel=0.0, feeds=2)
WRONG = Verification(
    exact=False, max_abs=1.0, max_rel=0.5, feeds=2, failures=["output 'y' differs by 0.5"]
)


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every model for right, where a test is not about that."""
    monkeypatch.setattr("onnxprune.pipeline.output.verify_cut", lambda *_, **__: EXACT)


def dims_of(path: Path) -> dict[str, list[int]]:
    return {t.name: list(t.dims) for t in onnx.load(path).graph.initializer}


def metadata(path: Path) -> list[tuple[str, str]]:
    return [(p.key, p.value) for p in onnx.load(path).metadata_props]


def test_the_whole_job(cli: Callable, model: Path, tmp_path: Path, files: Callable) -> None:
    out, plan, report = tmp_path / "out.onnx", tmp_path / "plan.json", tmp_path / "report.json"
    outcome = cli("prune", model, "-o", out, "--ratio", 0.5, "--plan-out", plan, "--report", report)
    assert (outcome.code, outcome.err) == (0, "")
    assert files() == {"model.onnx", "out.onnx", "plan.json", "report.json"}
    assert dims_of(out)["w2"] == [8, 8, 3, 3]
    for words in (["parameters", "-70.4 %"], ["MACs"], ["bytes"], ["nodes"], ["exact, error"]):
        assert any(all(w in line for w in words) for line in outcome.out.splitlines()), words

    found = PruneReport.model_validate_json(report.read_text())
    assert found.requested == {"ratio": 0.5}
    assert found.verified is not None
    assert found.verified.exact
    assert found.verified.max_rel is not None
    assert found.verified.max_rel < 1e-5
    assert found.output.bytes == out.stat().st_size
    assert found.output.params == sum(np.prod(d) for d in dims_of(out).values())
    assert found.achieved.params == pytest.approx(
        1 - found.output.params / found.input.params, abs=1e-6
    )
    assert found.groups_pruned == 2
    assert not found.approximate
    assert set(found.seconds) == {"load", "analyze", "plan", "apply", "verify", "total"}
    assert PrunePlan.model_validate_json(plan.read_text()).digest == found.plan_sha256


def test_pruned_equals_masked_original(cli: Callable, model: Path, tmp_path: Path) -> None:
    out, plan = tmp_path / "out.onnx", tmp_path / "plan.json"
    assert cli("prune", model, "-o", out, "--remove-macs", 0.4, "--plan-out", plan).code == 0
    proto = onnx.load(model)
    weights = {t.name: t for t in proto.graph.initializer}
    for group in json.loads(plan.read_text())["groups"]:
        for part in group["slices"]:
            if (part["initializer"], part["axis"]) in {("w2", 1), ("w3", 0)}:
                array = numpy_helper.to_array(weights[part["initializer"]]).copy()
                np.moveaxis(array, part["axis"], 0)[part["removed"]] = 0
                weights[part["initializer"]].CopyFrom(
                    numpy_helper.from_array(array, part["initializer"])
                )
    x = np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32)
    [wanted] = ReferenceEvaluator(proto).run(None, {"x": x})
    [seen] = ReferenceEvaluator(onnx.load(out)).run(None, {"x": x})
    np.testing.assert_allclose(seen, wanted, atol=1e-5)


@pytest.mark.usefixtures("fast")
def test_provenance_and_byte_identical_replays(cli: Callable, model: Path, tmp_path: Path) -> None:
    first, second, third = (tmp_path / f"{i}.onnx" for i in "abc")
    plan = tmp_path / "plan.json"
    assert cli("prune", model, "-o", first, "--ratio", 0.5, "--plan-out", plan).code == 0
    assert cli("prune", model, "-o", second, "--ratio", 0.5).code == 0
    assert cli("apply", model, plan, "-o", third).code == 0
    assert first.read_bytes() == second.read_bytes() == third.read_bytes()

    keys = [key for key, _ in metadata(first)]
    assert sorted(keys) == sorted(
        ["owner", "onnxprune.version", "onnxprune.plan_sha256", "onnxprune.source_sha256"]
    )
    found = dict(metadata(first))
    assert found["onnxprune.version"] == __version__
    assert found["onnxprune.plan_sha256"] == PrunePlan.model_validate_json(plan.read_text()).digest
    assert found["onnxprune.source_sha256"] == pipeline.load(model).sha256
    assert found["owner"] == "somebody"


@pytest.mark.usefixtures("fast")
def test_replaces_an_older_result(
    cli: Callable, model: Path, tmp_path: Path, files: Callable
) -> None:
    out = tmp_path / "out.onnx"
    out.write_text("old")
    assert cli("prune", model, "-o", out, "--ratio", 0.5).code == 0
    assert dims_of(out)["w1"] == [8, 3, 3, 3]
    assert files() == {"model.onnx", "out.onnx"}


@pytest.mark.usefixtures("fast")
def test_external_data(cli: Callable, external: Path, tmp_path: Path, files: Callable) -> None:
    out = tmp_path / "small.onnx"
    assert cli("prune", external, "-o", out, "--ratio", 0.5).code == 0
    assert files() == {"external.onnx", "weights.bin", "small.onnx", "small.onnx.data"}
    assert numpy_helper.to_array(onnx.load(out).graph.initializer[0]).shape == (8, 3, 3, 3)


@pytest.mark.usefixtures("fast")
def test_data_file_that_is_a_file_of_the_input(
    cli: Callable, external: Path, tmp_path: Path, files: Callable
) -> None:
    proto = onnx.load(external, load_external_data=False)
    for tensor in proto.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "small.onnx.data"
    (tmp_path / "weights.bin").rename(tmp_path / "small.onnx.data")
    onnx.save(proto, external)
    before = (tmp_path / "small.onnx.data").read_bytes()

    outcome = cli("prune", external, "-o", tmp_path / "small.onnx", "--ratio", 0.5)

    assert outcome.code == 2
    assert "never changed" in outcome.err
    assert files() == {"external.onnx", "small.onnx.data"}
    assert (tmp_path / "small.onnx.data").read_bytes() == before


def test_a_wrong_result_is_never_written(
    cli: Callable, model: Path, tmp_path: Path, files: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxprune.pipeline.output.verify_cut", lambda *_, **__: WRONG)
    outcome = cli(
        "prune", model, "-o", tmp_path / "out.onnx", "--ratio", 0.5,
        "--plan-out", tmp_path / "plan.json", "--report", tmp_path / "report.json",
    )  # fmt: skip
    assert outcome.code == 1
    assert "output 'y' differs by 0.5" in outcome.err
    assert files() == {"model.onnx"}


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (RuntimeError("x"), 4)])
def test_an_interruption_leaves_nothing(  # noqa: PLR0917
    error: BaseException,
    code: int,
    cli: Callable,
    model: Path,
    tmp_path: Path,
    files: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("onnxprune.pipeline.output.verify_cut", fail)
    assert cli("prune", model, "-o", tmp_path / "out.onnx", "--ratio", 0.5).code == code
    assert files() == {"model.onnx"}


def test_without_verification(cli: Callable, model: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    out = tmp_path / "out.onnx"
    outcome = cli("prune", model, "-o", out, "--ratio", 0.5, "--no-verify", "--report", report)
    assert outcome.code == 0
    assert "not verified" in outcome.out
    assert PruneReport.model_validate_json(report.read_text()).verified is None


def test_approximate_groups_when_asked_for(cli: Callable, normalised: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    outcome = cli(
        "prune", normalised, "-o", tmp_path / "out.onnx", "--ratio", 0.5, "--allow-approximate",
        "--report", report,
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert "approximate, differs by" in outcome.out
    found = PruneReport.model_validate_json(report.read_text())
    assert found.approximate
    assert found.verified is not None
    assert not found.verified.exact


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize("size", ["6kB", "5.5KiB", "7000"])
def test_size_targets_hold_for_the_file(
    size: str, cli: Callable, model: Path, tmp_path: Path
) -> None:
    out, report = tmp_path / "out.onnx", tmp_path / "report.json"
    outcome = cli("prune", model, "-o", out, "--max-bytes", size, "--report", report)
    assert outcome.code == 0, outcome.err
    assert out.stat().st_size <= make_settings({"max_bytes": size}).target.amount
    assert PruneReport.model_validate_json(report.read_text()).requested == {"max_bytes": size}


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        ("--ratio 0.5", (8, 8)),
        ("--ratio 0.5 --exclude conv1", (16, 8)),
        ("--ratio 0.5 --only w3", (16, 8)),
        ("--ratio 0.5 --min-channels 12", (12, 12)),
        ("--ratio 0.5 --max-group-ratio 0.25", (12, 12)),
        ("--ratio 0.3 --align auto", (12, 12)),
        ("--ratio 0.3 --align 16", (16, 16)),
        ("--ratio 0.6 --align 4", (8, 8)),
        ("--ratio 0.5 --criterion random --seed 3", (8, 8)),
    ],
)
def test_limits(
    arguments: str, kept: tuple[int, int], cli: Callable, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.onnx"
    outcome = cli("prune", model, "-o", out, *arguments.split())
    if kept == (16, 16):
        assert (outcome.code, out.exists()) == (1, False)
        return
    assert outcome.code == 0, outcome.err
    assert dims_of(out)["w2"][:2] == [kept[1], kept[0]]


@pytest.mark.usefixtures("fast")
def test_coarse_groups_are_mentioned(cli: Callable, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.onnx"
    outcome = cli("prune", model, "-o", out, "--remove-params", 0.1, "--align", 8)
    assert outcome.code == 0
    assert "note: the groups are too coarse for this target" in outcome.err


@pytest.mark.usefixtures("fast")
def test_a_group_that_cannot_follow_is_left_out(
    cli: Callable, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from onnxprune.planning import plans  # noqa: PLC0415

    rewrite = plans.rewrite

    def stubborn(proto: onnx.ModelProto, *args: object, **kwargs: object) -> object:
        written = rewrite(proto, *args, **kwargs)
        shape = next(t.dims for t in written.proto.graph.initializer if t.name == "w1")
        if shape[0] < 16:
            message = "node 'conv1' cannot follow"
            raise PlanMismatchError(message)
        return written

    monkeypatch.setattr(plans, "rewrite", stubborn)
    out, plan, report = tmp_path / "out.onnx", tmp_path / "plan.json", tmp_path / "report.json"
    outcome = cli("prune", model, "-o", out, "--ratio", 0.5, "--plan-out", plan, "--report", report)
    assert outcome.code == 0, outcome.err
    assert "was left out, because a node cannot follow: node 'conv1' cannot follow" in outcome.err
    assert dims_of(out)["w2"] == [8, 16, 3, 3]
    [dropped] = PruneReport.model_validate_json(report.read_text()).dropped.items()
    assert json.loads(plan.read_text())["settings"]["dropped"] == dict([dropped])
