"""Checking a pruned file, with the plan and without."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import pytest
from onnx import numpy_helper

from onnxprune.report.models import VerifyReport

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np


@pytest.fixture
def pruned(cli: Callable, model: Path, tmp_path: Path) -> Path:
    out = tmp_path / "out.onnx"
    outcome = cli(
        "prune", model, "-o", out, "--remove-macs", 0.4, "--no-verify",
        "--plan-out", tmp_path / "plan.json",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    return out


def edit(path: Path, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    proto = onnx.load(path)
    for tensor in proto.graph.initializer:
        if tensor.name == name:
            array = change(numpy_helper.to_array(tensor).copy())
            tensor.CopyFrom(numpy_helper.from_array(array, name))
    onnx.save(proto, path)


def test_with_the_plan(cli: Callable, model: Path, pruned: Path, tmp_path: Path) -> None:
    outcome = cli("verify", model, pruned, "--plan", tmp_path / "plan.json")
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith("passed: ")
    assert "channels silenced that the plan removes" in outcome.out


def test_without_a_plan_it_is_read_off_the_weights(
    cli: Callable, model: Path, pruned: Path
) -> None:
    outcome = cli("verify", model, pruned, "--json", "-")
    assert outcome.code == 0, outcome.err
    report = VerifyReport.model_validate(outcome.json)
    assert (report.method, report.plan, report.exact) == ("masked", "reconstructed", True)
    assert report.max_rel is not None
    assert report.max_rel < 1e-5


def test_vectors_that_several_nodes_share(cli: Callable, model: Path, tmp_path: Path) -> None:
    proto = onnx.load(model)
    next(n for n in proto.graph.node if n.name == "conv2").input.append("b1")
    onnx.save(proto, model)
    out = tmp_path / "out.onnx"
    assert cli("prune", model, "-o", out, "--ratio", 0.5, "--no-verify").code == 0
    report = VerifyReport.model_validate(cli("verify", model, out, "--json", "-").json)
    assert (report.plan, report.exact) == ("reconstructed", True)


def test_the_original_equals_itself(cli: Callable, model: Path) -> None:
    report = VerifyReport.model_validate(cli("verify", model, model, "--json", "-").json)
    assert (report.plan, report.exact, report.max_abs) == ("reconstructed", True, 0.0)


def test_a_wrong_weight_fails(cli: Callable, model: Path, pruned: Path, tmp_path: Path) -> None:
    edit(pruned, "b3", lambda b: b + 1)
    outcome = cli("verify", model, pruned, "--plan", tmp_path / "plan.json")
    assert outcome.code == 1
    assert outcome.out.startswith("FAILED: ")
    assert "output 'y' differs" in outcome.out


def test_other_weights_are_compared_in_shape_only(cli: Callable, model: Path, pruned: Path) -> None:
    edit(pruned, "w1", lambda w: w + 1)
    outcome = cli("verify", model, pruned)
    assert outcome.code == 0
    assert "in shapes, types and finiteness only" in outcome.out


def test_another_interface_fails(cli: Callable, model: Path, pruned: Path, tmp_path: Path) -> None:
    proto = onnx.load(pruned)
    proto.graph.output[0].type.tensor_type.shape.dim[1].dim_param = "classes"
    onnx.save(proto, pruned)
    outcome = cli("verify", model, pruned, "--plan", tmp_path / "plan.json")
    assert outcome.code == 1
    assert "output 'y' is declared in another way" in outcome.out


def test_a_file_that_does_not_run_fails(
    cli: Callable, model: Path, pruned: Path, tmp_path: Path
) -> None:
    edit(pruned, "w2", lambda w: w[:, :-1])
    report = VerifyReport.model_validate(
        cli("verify", model, pruned, "--plan", tmp_path / "plan.json", "--json", "-").json
    )
    assert not report.passed
    assert report.exact is False
