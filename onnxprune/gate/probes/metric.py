"""A metric of the user's own, as `prune --metric` takes it; see `onnxprune.fidelity.metric`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxprune.errors import InvalidConfigError
from onnxprune.fidelity.metric import check_metric, measure_metric
from onnxprune.gate.entries import at_least, at_most, decide, number
from onnxprune.gate.probes.registry import probe

if TYPE_CHECKING:
    from onnxprune.gate.document import CheckEntry
    from onnxprune.gate.job import Job


@probe("max_metric_drop", "min_metric")
def check_user_metric(job: Job) -> list[CheckEntry]:
    """Evaluate both models, each in a process of its own."""
    section = job.section
    if section.metric is None:
        message = "a limit speaks of a metric, and there is none"
        raise InvalidConfigError(message, hint="name one: --metric module:function")
    metric = check_metric(section.metric)
    job.tell(f"evaluating {metric}")
    # The baseline comes first: where the metric fails on it, the metric is to blame.
    before = measure_metric(metric, job.baseline_path, threads=section.threads)
    limits = {"max-metric-drop": section.max_metric_drop, "min-metric": section.min_metric}
    given = {name: limit for name, limit in limits.items() if limit is not None}
    try:
        after = measure_metric(metric, job.path, threads=section.threads)
    except InvalidConfigError as error:
        text = "no value is measured, the limit is {}: {}"
        return [
            decide(name, limit, "none", kept=False,
                   message=text.format(number(limit), error.message))
            for name, limit in given.items()
        ]  # fmt: skip
    detail = f"{metric}: {after:.6g} after {before:.6g}"
    return [
        at_least(name, limit, after, detail=detail)
        if name == "min-metric"
        else at_most(name, limit, before - after, detail=detail)
        for name, limit in given.items()
    ]
