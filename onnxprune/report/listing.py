"""What the tables of rules, criteria and allocations hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnxprune.rules  # noqa: F401 - registers the rules
from onnxprune.allocation import ALLOCATIONS
from onnxprune.core.registry import RULES
from onnxprune.criteria import CRITERIA
from onnxprune.recovery import RECOVERIES
from onnxprune.recovery.registry import NONE
from onnxprune.report.models import CriteriaReport, MethodEntry, RuleEntry, RulesReport

if TYPE_CHECKING:
    from onnxprune.allocation import Allocation
    from onnxprune.criteria import Criterion
    from onnxprune.recovery import Recovery


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
    """List the criteria, the allocations and the recoveries."""
    return CriteriaReport(
        criteria=[
            _entry(c, f"{c.name}:{c.argument}" if c.argument else c.name, samples=c.samples)
            for _, c in sorted(CRITERIA.items())
        ],
        allocations=[_entry(a, a.name, samples=a.samples) for _, a in sorted(ALLOCATIONS.items())],
        recoveries=[
            _entry(r, r.name, samples=r.name != NONE) for _, r in sorted(RECOVERIES.items())
        ],
    )


def _entry(method: Criterion | Allocation | Recovery, name: str, *, samples: bool) -> MethodEntry:
    return MethodEntry(name=name, samples=samples, module=method.module, summary=method.summary)
