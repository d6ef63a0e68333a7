"""Two files, compared in words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import onnx

from onnxprune import pipeline
from onnxprune.cli.main import run
from onnxprune.core.plan import PlanBranch, PlanLayout
from onnxprune.demo import MODEL
from onnxprune.diff import compare_files
from onnxprune.diff.plans import compare_plans

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_model_and_itself(tmp_path: Path) -> None:
    """A copy differs in nothing."""
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(MODEL.read_bytes())
    report = compare_files(MODEL, copy)
    assert report.same
    assert report.summary == ["no difference"]


def test_a_model_and_what_was_made_of_it(tmp_path: Path) -> None:
    """Shapes, sizes and provenance; every change is a weight or metadata."""
    small = tmp_path / "small.onnx"
    made = pipeline.prune(MODEL, small, ratio=0.5, verify=False)
    report = compare_files(MODEL, small)
    assert not report.same
    assert any("the second was made from the first" in line for line in report.summary)
    assert made.plan_sha256[:12] in "".join(report.summary)
    for change in report.changes:
        if change.what == "weight":
            assert change.before != change.after
    assert {c.what for c in report.changes} <= {"weight", "content", "metadata", "node"}
    back = compare_files(small, MODEL)
    assert any("the first was made from the second" in line for line in back.summary)


def test_one_changed_thing_at_a_time(tmp_path: Path) -> None:
    """A value, a name of an input, an attribute, an opset: each is found, and nothing else."""
    model = onnx.load(MODEL)

    def changed(edit: str) -> set[str]:
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        if edit == "content":
            weight = max(copy.graph.initializer, key=lambda t: len(t.raw_data))
            weight.raw_data = weight.raw_data[:-4] + b"\0\0\0\0"
        elif edit == "metadata":
            copy.metadata_props.add(key="a", value="b")
        elif edit == "node":
            node = next(n for n in copy.graph.node if n.op_type == "Conv")
            next(a for a in node.attribute if a.name == "dilations").ints[:] = [2, 2]
        elif edit == "output":
            copy.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 11
        path = tmp_path / f"{edit}.onnx"
        onnx.save(copy, path)
        return {c.what for c in compare_files(MODEL, path).changes}

    for edit in ("content", "metadata", "node", "output"):
        assert changed(edit) == {edit}


def test_plans(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Settings and groups; the command writes the same as JSON."""
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for path, ratio in zip(paths, (0.25, 0.5), strict=True):
        path.write_text(pipeline.plan(MODEL, ratio=ratio).to_json())
    report = compare_files(*paths)
    assert {"group", "setting", "predicted"} <= {c.what for c in report.changes}
    assert any("lose other channels" in line for line in report.summary)
    assert compare_files(paths[0], paths[0]).same
    assert run(["diff", *map(str, paths), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "plans"
    assert run(["diff", *map(str, paths)]) == 0
    assert "lose other channels" in capsys.readouterr().out


def test_plans_that_write_the_same_channels_in_other_ways() -> None:
    """Order, copies, and what is written several times make other files."""
    plan = pipeline.plan(MODEL, ratio=0.5, coupling="unconstrained", criterion="random")
    group = plan.groups[0]
    order = PlanLayout(id=group.id, order=list(range(group.size))[::-1])
    branch = PlanBranch(id="b0", add="a", value="b", removed=["c"])
    for what, value in (
        ("forks", ["a"]), ("layout", [order]), ("joined", ["a", "b"]), ("apart", ["c"]),
        ("branches", [branch]),
    ):  # fmt: skip
        other = plan.model_copy(update={what: value})
        summary, changes = compare_plans(plan, other)
        assert {c.what for c in changes} == {what}
        assert any(what in line for line in summary)
    assert compare_plans(plan, plan) == ([], [])


def test_a_model_and_a_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are not compared; nor is what is missing."""
    path = tmp_path / "plan.json"
    path.write_text(pipeline.plan(MODEL, ratio=0.5).to_json())
    assert run(["diff", str(MODEL), str(path)]) == 2
    assert "is a plan" in capsys.readouterr().err
    assert run(["diff", str(MODEL), str(tmp_path / "missing.onnx")]) == 2
