"""Where a file says that it comes from: the metadata that `prune` and `apply` leave in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxprune.errors import printable
from onnxprune.gate.entries import decide
from onnxprune.gate.probes.registry import probe

if TYPE_CHECKING:
    from onnxprune.gate.document import CheckEntry
    from onnxprune.gate.job import Job

_SOURCE = "onnxprune.source_sha256"
_PLAN = "onnxprune.plan_sha256"


@probe("provenance", "plan_sha256", static=True)
def check_provenance(job: Job) -> list[CheckEntry]:
    """Compare the metadata with the baseline and the plan."""
    section = job.section
    entries = []
    if section.provenance:
        entries.append(
            _entry(
                job, "provenance", _SOURCE, job.baseline.sha256,
                what=f"SHA-256 of '{printable(job.baseline.path)}'",
                hint="the baseline is another file than the one that was pruned: prune it again",
            )
        )  # fmt: skip
        if job.plan is not None:
            entries.append(
                _entry(
                    job, "provenance[plan]", _PLAN, job.plan.digest,
                    what=f"digest of '{printable(section.plan)}'",
                    hint="apply this plan to the baseline again",
                )
            )  # fmt: skip
    if section.plan_sha256 is not None:
        entries.append(
            _entry(job, "plan-sha256", _PLAN, section.plan_sha256, what="digest in the limits",
                   hint="apply the plan that was reviewed, or review this one")
        )  # fmt: skip
    return entries


def _entry(job: Job, name: str, key: str, wanted: str, *, what: str, hint: str) -> CheckEntry:
    seen = [entry.value for entry in job.pruned.proto.metadata_props if entry.key == key]
    if len(seen) == 1:
        value = printable(seen[0])
        message = f"'{printable(job.path)}' says {key} = {value}; wanted is {wanted}, the {what}"
    else:  # more than one is as good as none: nobody can say which of them counts
        value = f"{len(seen)} values" if seen else "nothing"
        message = f"{value} is said in metadata {key} of '{printable(job.path)}'; wanted is "
        message += f"{wanted}, the {what}"
        hint = "make it with `onnxprune prune` or `apply`, and let nothing drop its metadata"
    return decide(name, wanted, value, kept=seen == [wanted], message=message, hint=hint)
