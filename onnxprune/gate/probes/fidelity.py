"""How faithfully a pruned model answers samples that the original answers."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Final

from onnxprune.calibration import load_calibration
from onnxprune.errors import InvalidConfigError, InvalidModelError, printable
from onnxprune.fidelity import fidelity
from onnxprune.gate.entries import at_least, at_most, unmeasured
from onnxprune.gate.probes.registry import probe
from onnxprune.runtime.inputs import input_specs

if TYPE_CHECKING:
    from onnxprune.fidelity import Fidelity, OutputFidelity
    from onnxprune.gate.document import CheckEntry
    from onnxprune.gate.entries import Interval
    from onnxprune.gate.job import Job

_Z95: Final = 1.96
_LIMITS: Final = ("max_relative_error", "min_agreement", "min_cosine", "max_kl")


@probe(*_LIMITS)
def check_fidelity(job: Job) -> list[CheckEntry]:
    """Run both models on the samples; the output that is worst counts."""
    found = _measure(job)
    limits = {name: getattr(job.section, name) for name in _LIMITS}
    return [_entry(n, limit, found) for n, limit in limits.items() if limit is not None]


def _entry(limit_name: str, limit: float, found: Fidelity) -> CheckEntry:
    name = limit_name.replace("_", "-")
    values = {one.output: _value(limit_name, one) for one in found.outputs}
    known = {output: value for output, value in values.items() if value is not None}
    if not known:
        message = "no output has such a number: agreement and divergence need class scores"
        return unmeasured(name, limit, InvalidModelError(message))
    sign = 1.0 if name.startswith("max") else -1.0
    # What is no number is worse than any.
    worst = max(known, key=lambda output: (math.isnan(known[output]), sign * known[output]))
    value, detail = known[worst], f"output '{printable(worst)}', {found.samples} samples"
    if math.isnan(value):
        detail += "; shapes differ, or values are no numbers in one model only"
    if name.startswith("max"):
        return at_most(name, limit, value, detail=detail)
    entry = at_least(name, limit, value, detail=detail)
    if limit_name != "min_agreement" or math.isnan(value):
        return entry
    return entry.model_copy(update={"ci95": wilson(value, found.samples)})


def _value(limit_name: str, one: OutputFidelity) -> float | None:
    agreement = one.equal if one.top1_agreement is None else one.top1_agreement
    value = {
        "max_relative_error": one.relative_error, "min_agreement": agreement,
        "min_cosine": one.cosine, "max_kl": one.kl,
    }[limit_name]  # fmt: skip
    return math.nan if one.reshaped or one.nonfinite else value


def _measure(job: Job) -> Fidelity:
    data = job.section.test_data
    if data is None:
        message = "a limit speaks of the fidelity, and there are no samples to measure it on"
        raise InvalidConfigError(message, hint="give some with --test-data")
    specs = input_specs(job.baseline.proto)
    feeds = load_calibration(
        data, specs, samples=job.section.samples or sys.maxsize, seed=job.section.seed
    )
    job.tell(f"running {len(feeds)} samples")
    return fidelity(job.baseline, job.path, feeds, threads=job.section.threads)


def wilson(share: float, count: int) -> Interval:
    """Return the 95 % interval of a share (Wilson, 1927, score interval).

    Examples:
        >>> low, high = wilson(0.9, 100)
        >>> round(low, 3), round(high, 3)
        (0.826, 0.945)
    """
    square = _Z95**2 / count
    middle = (share + square / 2) / (1 + square)
    reach = _Z95 / (1 + square) * math.sqrt(share * (1 - share) / count + square / count / 4)
    return max(middle - reach, 0.0), min(middle + reach, 1.0)
