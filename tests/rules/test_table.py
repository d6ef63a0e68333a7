"""The table of operators: nobody is forgotten, and the page says what the rules do."""

from __future__ import annotations

import re

import onnx
import pytest

from onnxprune.core.registry import RULES
from onnxprune.errors import DuplicateRuleError
from onnxprune.rules import table
from onnxprune.rules.opaque import REASONS


def test_every_operator_has_a_rule_or_a_reason() -> None:
    """A new operator or version fails here until somebody decides what passes."""
    assert table.undecided() == []


def test_every_rule_is_of_a_known_operator() -> None:
    known = {s.name for s in onnx.defs.get_all_schemas_with_history() if s.domain == ""}
    own = [e for e in RULES if e.module.startswith("onnxprune.")]
    assert {e.op for e in own if e.domain == ""} <= known


def test_every_rule_says_what_passes() -> None:
    own = [e for e in RULES if e.module.startswith("onnxprune.")]
    assert [e.op for e in own if not e.summary.endswith(".")] == []


def test_reasons_complete_a_sentence() -> None:
    assert [op for op, reason in REASONS.items() if reason.endswith(".")] == []


def test_page_is_up_to_date() -> None:
    page = table.DOCUMENT.read_text(encoding="utf-8")
    newest = re.search(r"for opsets 7 to (\d+)", page)
    assert newest is not None
    if int(newest[1]) != onnx.defs.onnx_opset_version():
        pytest.skip("the page was made with another version of onnx")
    assert table.main(["--check"]) == 0


def test_check_fails_when_the_page_is_stale(
    tmp_path: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(table, "DOCUMENT", tmp_path / "docs" / "operators.md")
    assert table.main(["--check"]) == 1
    assert "operators.md is out of date" in capsys.readouterr().err
    assert table.main(["--write"]) == 0
    assert table.main(["--check"]) == 0


def test_two_rules_for_one_version_are_refused() -> None:
    with pytest.raises(DuplicateRuleError, match="Relu since 1"):
        RULES.register("Relu", "", 1, test_page_is_up_to_date)
