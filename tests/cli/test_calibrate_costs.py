"""`onnxprune calibrate-costs`, and what others make of its table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from onnxprune.report.costs import CostsReport

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_calibrating_twice_measures_once(
    cli: Callable, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    note = "calibrate-costs` measures it"
    arguments = ("prune", model, "-o", tmp_path / "out.onnx", "--ratio", 0.99, "--align", "auto")
    assert note not in cli("prune", model, "-o", tmp_path / "o.onnx", "--ratio", 0.5).err
    cli(*arguments)
    outcome = cli("calibrate-costs", model, "--json", tmp_path / "costs.json")
    assert outcome.code == 0, outcome.err
    report = CostsReport.model_validate_json((tmp_path / "costs.json").read_text())
    [entry] = report.models
    assert (entry.layers, entry.kinds) == (3, 3)
    assert entry.measured > 0
    assert report.file.startswith(str(tmp_path / "cache"))
    assert "measured on cpu" in entry.align_source
    assert "model.onnx" in outcome.out
    again = CostsReport.model_validate(cli("calibrate-costs", model, "--json", "-").json)
    assert again.models[0].measured == 0
    assert again.times == report.times


@pytest.mark.parametrize(
    ("arguments", "code"),
    [("", 2), ("missing.onnx", 2), ("MODEL --provider tpu", 2), ("MODEL --provider nnapi", 3)],
)
def test_mistakes(arguments: str, code: int, cli: Callable, model: Path) -> None:
    given = [model if a == "MODEL" else a for a in arguments.split()]
    assert cli("calibrate-costs", *given).code == code
