"""Every rule on onnx's cases and ours: what is removed is what the masked original lacks."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
import pytest

from onnxprune.core.registry import RULES
from onnxprune.testing.made_cases import made_case
from onnxprune.testing.needless import needlessly_frozen
from onnxprune.testing.soundness import check
from onnxprune.testing.trials import Style, Trial, trials
from onnxprune.testing.versions import older_cases

if TYPE_CHECKING:
    from collections.abc import Iterable

    from onnxprune.core.context import LabelContext
    from onnxprune.core.graph import Node
    from onnxprune.testing.node_cases import NodeCase

QUICK, THOROUGH = 4, 40
"""Ways to label each case."""

OLDER_CASES = 3
"""Cases of each older version that the quick test takes."""

RECORD = Path(__file__).with_name("needlessly_frozen.json")


def problems(found: Iterable[NodeCase], count: int, *, seed: int = 0) -> list[str]:
    """Return what is wrong, in words."""
    outcomes = ((t, check(t)) for case in found for t in trials(case, count=count, seed=seed))
    return [f"{trial}: {outcome.error}" for trial, outcome in outcomes if outcome.error]


def some_older(cases: list[NodeCase]) -> Iterable[NodeCase]:
    """Return a few cases of each older version."""
    older = sorted((o for case in cases for o in older_cases(case)), key=lambda o: o.opset)
    for _, group in itertools.groupby(older, key=lambda o: o.opset):
        yield from itertools.islice(group, OLDER_CASES)


def test_rule(cases: list[NodeCase]) -> None:
    assert not problems(cases, QUICK)


def test_rule_at_older_versions(cases: list[NodeCase]) -> None:
    assert not problems(some_older(cases), 2)


@pytest.mark.slow
def test_rule_thoroughly(cases: list[NodeCase]) -> None:
    assert not problems(cases, THOROUGH, seed=1000)


@pytest.mark.slow
def test_rule_at_older_versions_thoroughly(cases: list[NodeCase]) -> None:
    assert not problems((o for case in cases for o in older_cases(case)), 8, seed=1000)


def test_caution_only_falls(operator: str, cases: list[NodeCase]) -> None:
    """Axes that are frozen although slicing would have been right are counted in a file."""
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    allowed = record["axes"].get(operator, 0)
    found = sum(len(needlessly_frozen(case)) for case in cases)
    assert found <= allowed, f"{operator}: {found} axes needlessly frozen, {allowed} before"
    if record["onnx"] == onnx.__version__:
        assert found == allowed, f"{operator}: write {found} instead of {allowed} to {RECORD.name}"


def _wrong_softmax(ctx: LabelContext, node: Node) -> None:
    """Claim that channels pass exactly."""
    ctx.set(node.outputs[0], ctx.factors(node.inputs[0]))


def _wrong_reverse(ctx: LabelContext, node: Node) -> None:
    """Claim that a reversed axis keeps its order."""
    ctx.set(node.outputs[0], ctx.factors(node.inputs[0]))


@pytest.mark.parametrize(
    ("op", "rule"), [("Softmax", _wrong_softmax), ("ReverseSequence", _wrong_reverse)]
)
def test_wrong_rules_are_found(
    op: str, rule: object, cases_by_operator: dict[str, list[NodeCase]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    lookup = RULES.lookup
    monkeypatch.setattr(RULES, "lookup", lambda o, d, s: rule if o == op else lookup(o, d, s))
    assert problems(cases_by_operator[op], QUICK)


def test_a_trial_says_what_it_does() -> None:
    case = made_case("relu", "Relu", [])
    trial = Trial(case, frozenset({"w"}), {"x": Style("pair", (0, 1))}, seed=3)
    assert str(trial) == "relu (constant: ['w'], x: pair (0, 1), seed 3)"
