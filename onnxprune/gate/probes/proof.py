"""Whether a pruned model is what it should be: the original without the removed channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxprune import pipeline
from onnxprune.errors import PlanMismatchError
from onnxprune.gate.entries import decide
from onnxprune.gate.probes.registry import probe

if TYPE_CHECKING:
    from onnxprune.gate.document import CheckEntry
    from onnxprune.gate.job import Job
    from onnxprune.report.models import VerifyReport

_NAME = "verified"


@probe(_NAME)
def check_proof(job: Job) -> list[CheckEntry]:
    """Compare with the masked original, as `onnxprune verify` does."""
    section = job.section
    plan = None if job.plan is None else section.plan  # one that cannot be read is a mistake
    try:
        report = pipeline.verify(
            job.baseline_path, job.path, plan=plan, dims=section.dims,
            progress=job.progress,
        )  # fmt: skip
    except PlanMismatchError as error:
        return [_entry(job, "made by another plan", error.message, hint=error.hint or "")]
    seen, detail = _result(report)
    hint = ""
    if seen == "not proven" and section.plan is None:
        hint = "name the plan that it was made with: --plan"
    return [_entry(job, seen, detail, hint=hint)]


def _result(report: VerifyReport) -> tuple[str, str]:
    if not report.passed:
        return "different", report.failures[0]
    if report.method != "masked":
        return "not proven", "the weights are no slices of the baseline's"
    if report.max_rel is None:
        return "exact" if report.exact else "approximate", ""
    detail = f"difference {report.max_rel:.2g} of an output's largest value"
    return "exact" if report.exact else "approximate", detail


def _entry(job: Job, seen: str, detail: str, *, hint: str) -> CheckEntry:
    wanted = job.section.verified or "exact"
    kept = seen in ("exact", wanted)
    message = f"the pruned model is {seen}; wanted is {wanted}"
    if detail:
        message += f" ({detail})"
    return decide(_NAME, wanted, seen, kept=kept, message=message, hint=hint)
