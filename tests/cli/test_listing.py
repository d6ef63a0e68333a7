"""Lists, schemas, the demonstration, and the reference in the README."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from onnxprune.cli import listing, reference
from onnxprune.report.demo import DemoReport
from onnxprune.report.listing import CriteriaReport, RulesReport
from onnxprune.report.schemas import SCHEMAS

if TYPE_CHECKING:
    from collections.abc import Callable

README = Path(__file__).resolve().parents[2] / "README.md"


def test_rules(cli: Callable) -> None:
    report = RulesReport.model_validate(cli("rules", "--json", "-").json)
    assert {"Conv", "MatMul", "LSTM"} <= {r.op for r in report.rules}
    assert " Conv " in cli("rules").out


def test_criteria(cli: Callable) -> None:
    report = CriteriaReport.model_validate(cli("criteria", "--json", "-").json)
    assert {"l1", "l2", "file:scores.json"} <= {c.name for c in report.criteria}
    assert {"global", "uniform"} <= {a.name for a in report.allocations}
    assert {"none", "least-squares"} <= {r.name for r in report.recoveries}
    assert {c.name for c in report.criteria if c.samples} >= {"obs", "wanda"}
    assert "Euclidean norm" in cli("criteria").out


@pytest.mark.skipif(not README.exists(), reason="needs the README of the checkout")
def test_the_readme_names_every_method(cli: Callable) -> None:
    report = CriteriaReport.model_validate(cli("criteria", "--json", "-").json)
    rows = {
        line.split("|")[1].strip(): line.split("|")[2:4]
        for line in README.read_text(encoding="utf-8").splitlines()
        if line.startswith("| `--")
    }
    for option, entries in (
        ("`--criterion`", report.criteria),
        ("`--allocation`", report.allocations),
        ("`--recovery`", report.recoveries),
    ):
        for needed in (False, True):
            listed = {f"`{e.name}`" for e in entries if e.samples is needed}
            assert {name.strip() for name in rows[option][needed].split(",")} == listed


@pytest.mark.parametrize("kind", sorted(SCHEMAS))
def test_schemas_name_their_format(kind: str, cli: Callable) -> None:
    schema = cli("schema", kind).json
    assert schema["properties"]["format"]["const"] == f"onnxprune.{kind}/1"


def test_schema_kinds_are_complete() -> None:
    assert tuple(sorted({*SCHEMAS, "audit", "check", "config"})) == listing._KINDS


def test_demo(cli: Callable, tmp_path: Path) -> None:
    out = tmp_path / "small.onnx"
    outcome = cli("demo", "-o", out, "--json", "-")
    assert outcome.code == 0, outcome.err
    report = DemoReport.model_validate(outcome.json)
    assert report.verified.exact
    assert report.after.params < 0.75 * report.before.params
    assert report.after.bytes == out.stat().st_size
    assert report.after.accuracy > 0.97


def test_demo_table(cli: Callable) -> None:
    outcome = cli("demo")
    assert outcome.code == 0
    for word in ("parameters", "MACs", "bytes", "accuracy", "latency", "indicative"):
        assert word in outcome.out
    assert outcome.out.endswith("passed: 6 pass\n")


@pytest.mark.skipif(not README.exists(), reason="needs the README of the checkout")
def test_the_readme_is_fresh() -> None:
    text = README.read_text(encoding="utf-8")
    hint = "run python -m onnxprune.cli.reference README.md"
    assert reference.updated(text) == text, hint
