"""How large a model is: multiply-accumulates, parameters, bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxprune.errors import InvalidModelError
from onnxprune.gate.entries import at_most, unmeasured
from onnxprune.gate.probes.registry import probe
from onnxprune.planning.options import parse_size
from onnxprune.report.analysis import count_params

if TYPE_CHECKING:
    from collections.abc import Callable

    from onnxprune.gate.document import CheckEntry
    from onnxprune.gate.job import Job

_KINDS = ("macs", "params", "bytes")


@probe(*(f"max_{k}_ratio" for k in _KINDS), *(f"max_{k}" for k in _KINDS), static=True)
def check_size(job: Job) -> list[CheckEntry]:
    """Count what a model has and computes, of both where a ratio is limited."""
    entries = []
    for kind, (count, baseline) in _counts(job).items():
        ratio = getattr(job.section, f"max_{kind}_ratio")
        most = getattr(job.section, f"max_{kind}")
        if ratio is not None:
            entries.append(_ratio(f"max-{kind}-ratio", ratio, count(), baseline()))
        if most is not None:
            limit = parse_size(most, "max-bytes") if kind == "bytes" else most
            entries.append(at_most(f"max-{kind}", limit, count(), unit=kind))
    return entries


def _ratio(name: str, limit: float, after: int, before: int) -> CheckEntry:
    if not before:
        message = "the baseline has none that could be counted"
        return unmeasured(name, limit, InvalidModelError(message))
    detail = f"{after} of {before}"
    return at_most(name, limit, after / before, unit="ratio", detail=detail)


def _counts(job: Job) -> dict[str, tuple[Callable[[], int], Callable[[], int]]]:
    """Return by kind how to count it in the pruned model and in the baseline."""
    return {
        "macs": (lambda: job.alone.total_macs, lambda: job.subjects[0].total_macs),
        "params": (
            lambda: count_params(job.pruned.proto.graph),
            lambda: count_params(job.baseline.proto.graph),
        ),
        "bytes": (lambda: job.pruned.size_bytes, lambda: job.baseline.size_bytes),
    }
