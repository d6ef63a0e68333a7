"""Every rule on nodes that ONNX Runtime runs, and a decision about every operator that it has."""

from __future__ import annotations

import numpy as np
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema

from onnxprune.core.registry import RULES
from onnxprune.testing.conformance import RuleConformance
from onnxprune_contrib_ops.domain import MICROSOFT, NCHWC, NHWC
from onnxprune_contrib_ops.opaque import BLOCKED, REASONS

from .cases import CASES
from .numpy_operators import OPERATORS


class TestContribRules(RuleConformance):
    package = "onnxprune_contrib_ops"
    cases = CASES
    operators = OPERATORS
    frozen = [(MICROSOFT, op) for op in REASONS] + [
        (domain, op) for domain, operators in BLOCKED.items() for op in operators
    ]


OWN = sorted(
    {(s.domain, s.name) for s in get_all_operator_schema() if s.domain in (MICROSOFT, NCHWC, NHWC)}
)


@pytest.mark.parametrize(("domain", "op"), OWN, ids=[f"{d}::{o}" for d, o in OWN])
def test_every_operator_has_a_rule_or_a_reason(domain: str, op: str) -> None:
    """An operator that a new ONNX Runtime brings fails here until somebody decides."""
    assert RULES.lookup(op, domain, 1) is not None


def test_no_operator_has_both() -> None:
    ruled = {e.op for e in RULES if e.domain == MICROSOFT and not e.module.endswith(".opaque")}
    assert not ruled & REASONS.keys()


def test_reasons_complete_a_sentence() -> None:
    assert not [op for op, reason in REASONS.items() if reason.endswith(".")]


def test_operators_in_numpy_are_those_without_a_kernel() -> None:
    """Where ONNX Runtime has a kernel, it is what the rule is checked with."""
    assert {o.__name__ for o in OPERATORS} <= {c.node.op_type for c in CASES}
    assert np.all([o.op_domain == MICROSOFT for o in OPERATORS])
