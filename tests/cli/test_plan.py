"""Plans: written, reviewed, refused, applied."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from onnxprune.core.plan import PrunePlan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def plan(cli: Callable, model: Path, tmp_path: Path) -> Path:
    path = tmp_path / "plan.json"
    outcome = cli("plan", model, "-o", path, "--ratio", 0.5)
    assert outcome.code == 0, outcome.err
    assert "2 groups to prune" in outcome.out
    return path


def test_round_trip(plan: Path) -> None:
    parsed = PrunePlan.model_validate_json(plan.read_text())
    assert parsed.to_json() == plan.read_text()
    assert [g.exact for g in parsed.groups] == [True, True]


def test_to_stdout(cli: Callable, model: Path, plan: Path) -> None:
    outcome = cli("plan", model, "-o", "-", "--ratio", 0.5)
    assert outcome.out == plan.read_text()
    assert outcome.err == ""


def test_apply_verifies(cli: Callable, model: Path, plan: Path, tmp_path: Path) -> None:
    outcome = cli("apply", model, plan, "-o", tmp_path / "out.onnx")
    assert outcome.code == 0, outcome.err
    assert "exact, error" in outcome.out


def test_refuses_another_model(
    cli: Callable, build: Callable, plan: Path, tmp_path: Path, files: Callable
) -> None:
    other = build(tmp_path / "other.onnx", width=24)
    before = files()
    outcome = cli("apply", other, plan, "-o", tmp_path / "out.onnx")
    assert outcome.code == 2
    assert "the plan was made for a model with SHA-256" in outcome.err
    assert files() == before


def edit_removed(data: dict) -> None:
    data["groups"][0]["removed"] = [0]


def edit_slice(data: dict) -> None:
    data["groups"][0]["slices"][0]["removed"] = [1]


def edit_atom(data: dict) -> None:
    data["groups"][0]["removed"] = [99]


def edit_group(data: dict) -> None:
    data["groups"][0]["id"] = "g\x1b[31m"


def edit_field(data: dict) -> None:
    data["surprise"] = 1


def edit_coupling(data: dict) -> None:
    data["coupling"] = "unconstrained"


def edit_format(data: dict) -> None:
    data["format"] = "onnxprune.plan/9"


def edit_everything(data: dict) -> None:
    data["groups"][0]["removed"] = list(range(16))


@pytest.mark.parametrize(
    ("edit", "fragment"),
    [
        (edit_removed, "are not what `removed` stands for"),
        (edit_slice, "are not what `removed` stands for"),
        (edit_atom, "the plan removes others"),
        (edit_group, "no such group"),
        (edit_field, "surprise"),
        (edit_coupling, "coupling 'unconstrained'"),
        (edit_format, "format"),
        (edit_everything, "are not what `removed` stands for"),
    ],
)
def test_refuses_an_edited_plan(  # noqa: PLR0917
    edit: Callable[[dict], None],
    fragment: str,
    cli: Callable,
    model: Path,
    plan: Path,
    tmp_path: Path,
    files: Callable,
) -> None:
    data = json.loads(plan.read_text())
    edit(data)
    plan.write_text(json.dumps(data))
    before = files()
    outcome = cli("apply", model, plan, "-o", tmp_path / "out.onnx")
    assert outcome.code == 2
    assert fragment in outcome.err
    assert "\x1b" not in outcome.err
    assert len(outcome.err.splitlines()) <= 2
    assert files() == before
