"""examples/ci goes green with a good plan, and red in every way there is, for the right reason."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "ci"

pytestmark = pytest.mark.skipif(not EXAMPLE.exists(), reason="needs the checkout")

QUICK = ("--time-budget", 0.2, "--retries", 0)
"""Where something else is going to fail, how fast the model is does not matter."""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable) -> Path:
    """A copy of the example with its model, pruned by its plan."""
    folder = tmp_path / "repository"
    shutil.copytree(EXAMPLE, folder)
    monkeypatch.chdir(folder)
    exec(compile((folder / "fetch_model.py").read_text(), "fetch_model.py", "exec"), {})
    assert cli("apply", "model.onnx", "plan.json", "-o", "small.onnx").code == 0
    return folder


def failed(result: object) -> dict[str, dict]:
    return {e["name"]: e for e in result.json["checks"] if e["outcome"] != "pass"}


def check(cli: Callable, *more: object) -> object:
    return cli("check", "small.onnx", "--format", "json", *more)


def test_green(repository: Path, cli: Callable) -> None:
    assert repository
    # A wide limit: this machine may be busy, and the result may not depend on it.
    result = check(cli, "--max-latency-ratio", 3, "--time-budget", 10)
    assert result.code == 0, result.out
    assert result.json["passed"]
    assert len(result.json["checks"]) == 9


def test_a_wrong_file(repository: Path, cli: Callable) -> None:
    model = onnx.load(repository / "small.onnx")
    tensor = next(t for t in model.graph.initializer if len(t.dims) == 4)
    values = numpy_helper.to_array(tensor).copy()
    values.flat[0] += 0.5
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, repository / "small.onnx")
    result = check(cli, *QUICK)
    assert result.code == 1
    entry = failed(result)["verified"]
    assert (entry["limit"], entry["value"]) == ("exact", "different")
    assert "the pruned model is different; wanted is exact" in entry["message"]


def test_too_slow_a_file(repository: Path, cli: Callable) -> None:
    model = onnx.load(repository / "small.onnx")
    nodes = slow_identity("image", "image'", width=64, model=model)
    for node in model.graph.node:
        node.input[:] = ["image'" if name == "image" else name for name in node.input]
    rest = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *rest])
    onnx.save(model, repository / "small.onnx")
    result = check(cli, "--max-macs-ratio", 1000, "--max-bytes-ratio", 1000, "--time-budget", 10)
    assert result.code == 1, result.out
    assert set(failed(result)) == {"max-latency-ratio[cpu]"}
    entry = failed(result)["max-latency-ratio[cpu]"]
    assert entry["ci95"][0] > entry["limit"] == 1.25
    assert "at most 1.25 is allowed" in entry["message"]
    assert f"{entry['value']:.4g} is measured" in entry["message"]


def slow_identity(value: str, out: str, *, width: int, model: onnx.ModelProto) -> list:
    """Return nodes that spread an image over channels and sum it up again: the same, but slow."""
    spread = np.zeros((width, 1, 3, 3), np.float32)
    spread[0, 0, 1, 1] = 1.0
    mixed = np.zeros((width, width, 3, 3), np.float32)
    mixed[0, 0, 1, 1] = 1.0
    gather = np.zeros((1, width, 3, 3), np.float32)
    gather[0, 0, 1, 1] = 1.0
    nodes, name = [], value
    for number, weight in enumerate((spread, mixed, mixed, gather)):
        model.graph.initializer.append(numpy_helper.from_array(weight, f"slow{number}"))
        after = out if number == 3 else f"slow{number}.y"
        nodes.append(helper.make_node("Conv", [name, f"slow{number}"], [after], pads=[1, 1, 1, 1]))
        name = after
    return nodes


def test_too_large_a_drop(repository: Path, cli: Callable) -> None:
    options = ("--remove-macs", 0.6, "--align", 8)
    assert cli("plan", "model.onnx", "-o", repository / "plan.json", *options).code == 0
    assert cli("apply", "model.onnx", "plan.json", "-o", "small.onnx").code == 0
    result = check(cli, "--max-latency-ratio", 1000, "--time-budget", 0.2)
    assert result.code == 1
    assert set(failed(result)) - {"max-latency-ratio[cpu]", "max-group-drop"} == {"max-metric-drop"}
    entry = failed(result)["max-metric-drop"]
    assert entry["value"] > entry["limit"] == 0.01
    assert "at most 0.01 is allowed (evaluate:accuracy: " in entry["message"]


def test_a_drop_in_one_subgroup_only(repository: Path, cli: Callable) -> None:
    """The features of one digit leave: hardly anything happens to the accuracy of all together."""
    model = onnx.load(repository / "model.onnx")
    [tensor] = [t for t in model.graph.initializer if t.name == "classes.weight"]
    weights = numpy_helper.to_array(tensor)  # [digit unit]
    score = np.delete(weights, 3, axis=0).max(axis=0) - weights[3]
    entry = {"initializer": tensor.name, "axis": 1, "values": (score - score.min()).tolist()}
    scores = {"format": "onnxprune.scores/1", "scores": [entry]}
    (repository / "scores.json").write_text(json.dumps(scores))
    options = ("--ratio", 0.3, "--criterion", "file:scores.json", "--only", tensor.name)
    assert cli("plan", "model.onnx", "-o", repository / "plan.json", *options).code == 0
    assert cli("apply", "model.onnx", "plan.json", "-o", "small.onnx").code == 0
    sizes = ("--max-macs-ratio", 1, "--max-bytes-ratio", 1, "--max-latency-ratio", 1000)
    result = check(cli, *sizes, "--max-metric-drop", 0.05, "--time-budget", 0.2)
    assert result.code == 1, result.out
    assert set(failed(result)) - {"max-latency-ratio[cpu]"} == {"max-group-drop"}
    entry = failed(result)["max-group-drop"]
    assert entry["value"] > entry["limit"] == 0.08
    assert "at most 0.08 is allowed (class '3', 61 samples: " in entry["message"]


def test_a_changed_input(repository: Path, cli: Callable) -> None:
    model = onnx.load(repository / "model.onnx")
    model.producer_version = "another export"
    onnx.save(model, repository / "model.onnx")
    applied = cli("apply", "model.onnx", "plan.json", "-o", "other.onnx")
    assert applied.code == 2
    assert "the plan was made for a model with SHA-256" in applied.err
    result = check(cli, *QUICK)
    assert result.code == 1
    assert {"provenance", "verified"} <= set(failed(result))
    entry = failed(result)["provenance"]
    assert entry["limit"] in entry["message"]
    assert entry["value"] in entry["message"]


def test_a_missing_provider(repository: Path, cli: Callable) -> None:
    assert repository
    result = check(cli, "--max-latency-ratio", "cuda=1", "--on-inconclusive", "pass")
    assert result.code == 3
    assert set(failed(result)) == {"max-latency-ratio[cuda]"}
    message = failed(result)["max-latency-ratio[cuda]"]["message"]
    assert "the limit is 1" in message
    assert "'cuda' is not available" in message


def test_a_missing_plan(repository: Path, cli: Callable) -> None:
    (repository / "plan.json").unlink()
    result = check(cli)
    assert result.code == 2
    assert "plan.json" in result.err
