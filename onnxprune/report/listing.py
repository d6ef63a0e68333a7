"""What the tables of rules, criteria and allocations hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnxprune.rules  # noqa: F401 - registers the rules
from onnxprune.allocation import ALLOCATIONS
from onnxprune.core.registry import RULES
from onnxprune.criteria import CRITERIA
from onnxprune.report.models import CriteriaReport, MethodEntry, RuleEntry, RulesReport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any


def list_rules() -> RulesReport:
    """List every operator that has a rule."""
    return RulesReport(
        rules=[
            RuleEntry(
                op=entry.op, domain=entry.domain or "ai.onnx", since=entry.since,
                module=entry.module, summary=entry.summary,
            )
            for entry in RULES
        ]
    )  # fmt: skip


def list_criteria() -> CriteriaReport:
    """List the criteria and the allocations."""
    return CriteriaReport(criteria=_methods(CRITERIA), allocations=_methods(ALLOCATIONS))


def _methods(table: Mapping[str, Callable[..., Any]]) -> list[MethodEntry]:
    return [
        MethodEntry(
            name=name,
            module=table[name].__module__,
            summary=(table[name].__doc__ or "").strip().split("\n", 1)[0],
        )
        for name in sorted(table)
    ]
