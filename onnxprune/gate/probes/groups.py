"""What the class or subgroup that pruning hurt most lost of its accuracy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxprune.audit import audit
from onnxprune.errors import InvalidConfigError, printable
from onnxprune.gate.entries import at_most
from onnxprune.gate.probes.registry import probe

if TYPE_CHECKING:
    from onnxprune.gate.document import CheckEntry
    from onnxprune.gate.job import Job


@probe("max_group_drop")
def check_groups(job: Job) -> list[CheckEntry]:
    """Run both models on labelled samples; the worst subgroup counts, or the worst class."""
    section = job.section
    limit = section.max_group_drop
    assert limit is not None
    if section.test_data is None or section.labels is None:
        missing = "samples" if section.test_data is None else "labels"
        message = f"a limit speaks of the accuracy of subgroups, and there are no {missing}"
        raise InvalidConfigError(message, hint="give --test-data and --labels")
    report = audit(
        job.baseline_path, job.path, data=section.test_data, labels=section.labels,
        groups=section.groups, severities=(), threads=section.threads, seed=section.seed,
        progress=job.progress,
    )  # fmt: skip
    worst = max(report.groups or report.classes, key=lambda entry: entry.accuracy.drop)
    accuracy = worst.accuracy
    kind = "subgroup" if report.groups else "class"
    detail = f"{kind} '{printable(worst.name)}', {worst.samples} samples: {accuracy.after:.4g} "
    detail += f"after {accuracy.before:.4g}; all samples: {report.accuracy.drop:.4g}"
    entry = at_most("max-group-drop", limit, accuracy.drop, detail=detail)
    return [entry.model_copy(update={"ci95": accuracy.ci95})]
