"""Audits from end to end: a class silenced on purpose is found, an identical model is cleared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxprune
from onnxprune.audit import AuditReport, audit
from onnxprune.audit.document import (
    Accuracy,
    Calibration,
    Corrupted,
    Exemplar,
    GroupEntry,
)
from onnxprune.audit.replicas import replica_options
from onnxprune.cli.main import run
from onnxprune.core.plan import PrunePlan
from onnxprune.demo import CALIBRATION, MODEL, load_digits
from onnxprune.errors import InvalidConfigError, InvalidModelError
from onnxprune.planning.options import make_settings

SILENCED = 3
HOSTILE = "</script><script>alert(1)</script>\x1b[31m|`$(reboot)`\n::error::x"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images with labels and subgroups, and a model without the features of one class."""
    folder = tmp_path_factory.mktemp("audit")
    images, labels = load_digits()
    np.save(folder / "images.npy", images)
    np.save(folder / "labels.npy", labels)
    half = np.arange(len(labels)) % 2 == 0
    groups = np.where((labels == SILENCED) & half, "night", np.where(half, "day", "indoors"))
    rows = [f"{number},{group}" for number, group in enumerate(groups)]
    (folder / "groups.csv").write_text("\n".join(["sample,group", *rows]))
    silence(folder / "hurt.onnx", folder)
    return folder


def silence(path: Path, folder: Path) -> None:
    """Prune the hidden units that speak for one class and for no other."""
    tensors = {t.name: numpy_helper.to_array(t) for t in onnx.load(MODEL).graph.initializer}
    weights = tensors["classes.weight"]  # [class unit]
    score = np.delete(weights, SILENCED, axis=0).max(axis=0) - weights[SILENCED]
    entry = {"initializer": "classes.weight", "axis": 1, "values": (score - score.min()).tolist()}
    scores = folder / "scores.json"
    scores.write_text(json.dumps({"format": "onnxprune.scores/1", "scores": [entry]}))
    onnxprune.prune(
        MODEL, path, ratio=0.35, criterion=f"file:{scores}", only=["classes.weight"], verify=False
    )


def command(folder: Path, *more: object, pruned: str = "hurt.onnx") -> list[str]:
    return [
        "audit", str(MODEL), str(folder / pruned), "--data", str(folder / "images.npy"),
        "--labels", str(folder / "labels.npy"), *map(str, more),
    ]  # fmt: skip


def test_a_silenced_class_is_found(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = command(
        folder, "--groups", folder / "groups.csv", "--json", folder / "a.json", "--severities", "1"
    )
    assert run(line) == 0
    text = capsys.readouterr().out
    report = AuditReport.model_validate_json((folder / "a.json").read_text())
    assert [e.name for e in report.classes if e.hurt] == [str(SILENCED)]
    assert [e.name for e in report.groups if e.hurt] == ["night"]
    assert "hurt more than others, at the level 0.05: night" in text
    assert report.accuracy.drop < 0.05
    assert {e.corruption for e in report.robustness} == {
        "gaussian-noise", "blur", "contrast", "brightness",
    }  # fmt: skip
    assert report.calibration.after > report.calibration.before
    assert sum(e.exemplars for e in report.classes) == len(report.exemplars) > 0
    for exemplar in report.exemplars:
        assert exemplar.before != exemplar.after
        assert exemplar.label == str(load_digits()[1][exemplar.sample])
    assert report.exemplars[0].thumbnail

    page = folder / "page.html"
    assert run(["report", str(folder / "a.json"), "-o", str(page)]) == 0
    html = page.read_text()
    assert "Audit of hurt" in html
    assert html.count('src="data:image/png;base64,') == min(24, len(report.exemplars))
    assert "Pruning hurt night, 3 MORE than others" in html


def test_an_identical_model_is_cleared(folder: Path) -> None:
    report = audit(
        MODEL, MODEL, data=folder / "images.npy", labels=folder / "labels.npy",
        groups=folder / "groups.csv", severities=(),
    )  # fmt: skip
    assert report.hurt == report.exemplars == report.robustness == []
    assert report.accuracy.drop == report.flipped == 0
    assert report.accuracy.before == pytest.approx(np.float64(0.9933), abs=1e-4)


def test_variants_tell_what_stays_changed(folder: Path) -> None:
    """With two unpruned models beside it, nothing is changed in most of them."""
    report = audit(
        MODEL, folder / "hurt.onnx", MODEL, MODEL, data=folder / "images.npy",
        labels=folder / "labels.npy", severities=(),
    )  # fmt: skip
    assert report.exemplars == []
    assert report.flipped > 0


def test_replicas(tmp_path: Path, folder: Path) -> None:
    onnxprune.prune(
        MODEL, tmp_path / "small.onnx", ratio=0.5, calibration=CALIBRATION, samples=40,
        criterion="variance", recovery="bias", plan_out=tmp_path / "plan.json", verify=False,
    )  # fmt: skip
    report = audit(
        MODEL, tmp_path / "small.onnx", data=folder / "images.npy", labels=folder / "labels.npy",
        replicas=2, plan=tmp_path / "plan.json", calibration=CALIBRATION, severities=(),
    )  # fmt: skip
    assert report.replicas == 2
    shares = {round(e.flip_share * 3) for e in report.exemplars}
    assert shares <= {2, 3}
    assert 3 in shares


def test_replicas_need_samples(tmp_path: Path, folder: Path) -> None:
    onnxprune.plan(MODEL, ratio=0.5, output=tmp_path / "plan.json")
    with pytest.raises(InvalidConfigError, match="was made without samples"):
        audit(
            MODEL, MODEL, data=folder / "images.npy", labels=folder / "labels.npy",
            replicas=1, plan=tmp_path / "plan.json", calibration=CALIBRATION,
        )  # fmt: skip


MISTAKES = [
    (["--severities", "6"], "neither numbers from 1 to 5"),
    (["--replicas", "2"], "--plan and --calibration"),
    (["--output", "other"], "there is no output 'other'"),
    (["--groups", "nowhere.csv"], "does not exist"),
    (["--labels", "{folder}/groups.csv"], "none is called 'label'"),
    (["--data", "{folder}/labels.npy"], "wanted float32"),
    (["--json", "{folder}/labels.npy"], "labels.npy"),
]


@pytest.mark.parametrize(("more", "part"), MISTAKES, ids=[m[1] for m in MISTAKES])
def test_mistakes(
    more: list[str], part: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = (folder / "labels.npy").read_bytes()
    assert run(command(folder, *(m.format(folder=folder) for m in more))) == 2
    captured = capsys.readouterr()
    assert part in captured.err
    assert not captured.out
    assert (folder / "labels.npy").read_bytes() == labels


def test_another_network(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = onnx.load(MODEL)
    for tensor in model.graph.initializer:
        if tensor.name.startswith("classes."):
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor)[:9], tensor.name))
    del model.graph.output[0].type.tensor_type.shape.dim[1:]
    model.graph.output[0].type.tensor_type.shape.dim.add()
    onnx.save(model, folder / "nine.onnx")
    assert run(command(folder, "--severities", "none", pruned="nine.onnx")) == 2
    assert "with 9 classes, the original 599 with 10" in capsys.readouterr().err


def test_a_network_without_classes(tmp_path: Path) -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])
    graph = helper.make_graph([helper.make_node("Tanh", ["x"], ["y"])], "g", [x], [y])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
              tmp_path / "m.onnx")  # fmt: skip
    np.save(tmp_path / "x.npy", np.eye(4, dtype=np.float32))
    np.save(tmp_path / "y.npy", np.arange(4))
    given: dict[str, Any] = {"data": tmp_path / "x.npy", "labels": tmp_path / "y.npy"}
    with pytest.raises(InvalidModelError, match="no output is known to hold class scores"):
        audit(tmp_path / "m.onnx", tmp_path / "m.onnx", **given)
    report = audit(tmp_path / "m.onnx", tmp_path / "m.onnx", output="y", **given)
    assert report.accuracy.before == 1
    assert "unnormalised scores" in report.notes[0]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"target": "ratio", "amount": 0.5}, {"ratio": 0.5}),
        ({"target": "params", "amount": 0.5, "align": 8}, {"remove_params": 0.5, "align": 8}),
        (
            {"target": "macs", "amount": 0.5, "align": 16, "align_source": "known"},
            {"remove_macs": 0.5, "align": "auto"},
        ),
        ({"target": "bytes", "amount": 9000}, {"remove_macs": 0.25}),
        ({"target": "macs", "amount": 0.0, "depth": 2}, {"depth": 2}),
        ({"target": "macs", "amount": 0.4, "depth": "auto"}, {"remove_macs": 0.4, "depth": "auto"}),
    ],
    ids=str,
)
def test_replicas_aim_at_what_the_plan_aimed_at(
    settings: dict[str, Any], expected: dict[str, Any]
) -> None:
    coupling: Any = "constrained" if "depth" in settings else "unconstrained"
    plan = PrunePlan(
        model_sha256="", coupling=coupling, groups=[], predicted={"macs": 0.75},
        settings={**settings, "samples": 40, "recovery": "bias"},
    )  # fmt: skip
    options, samples, recovery = replica_options(plan, Path("plan.json"))
    assert options == {"align": 1, **expected, "coupling": coupling}
    assert (samples, recovery) == (40, "bias")
    make_settings(options, samples=True)


def test_names_are_inert(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No name does anything on the page or in Markdown, and a picture is nothing but a picture."""
    accuracy = Accuracy(before=1, after=0, drop=1, ci95=(1, 1))
    entry = GroupEntry(
        name=HOSTILE, samples=9, accuracy=accuracy, excess=0.5, excess_ci95=(0.1, 0.9),
        p_value=0.001, p_holm=0.01, hurt=True, exemplars=1,
    )  # fmt: skip
    exemplar = Exemplar(
        sample=0, label=HOSTILE, group=HOSTILE, before=HOSTILE, after=HOSTILE,
        confidence_before=1, confidence_after=1, flip_share=1,
    )  # fmt: skip
    report = AuditReport(
        original="a.onnx", pruned=HOSTILE, variants=[], replicas=0, output=HOSTILE, samples=9,
        level=0.05, accuracy=accuracy, classes=[entry] * 60, groups=[entry], flipped=1,
        exemplars=[exemplar] * 30, calibration=Calibration(before=0, after=0),
        robustness=[Corrupted(corruption=HOSTILE, severity=1, accuracy=accuracy)], notes=[HOSTILE],
        seconds=1,
    )  # fmt: skip
    path = tmp_path / "a.json"
    path.write_text(report.to_json())
    assert run(["report", str(path), "-o", str(tmp_path / "a.html")]) == 0
    html = (tmp_path / "a.html").read_text()
    assert "<script" not in html
    assert "\x1b" not in html
    assert "10 more, which lost less" in html
    assert run(["report", str(path), "-o", "-"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert not any(line.startswith("::") or "<script>" in line for line in lines)
    for thumbnail in ('x" onerror="alert(1)', "a b", ""):
        document = json.loads(report.to_json())
        document["exemplars"][0]["thumbnail"] = thumbnail
        path.write_text(json.dumps(document))
        assert run(["report", str(path), "-o", str(tmp_path / "b.html")]) == 2
