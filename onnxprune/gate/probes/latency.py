"""How fast a model is relative to the baseline, and how much of it runs on the provider.

The baseline is measured anew in the same process and in turns. What stays undecided is measured
again with twice the time, for an interval half as wide, from the beginning: to go on until an
interval suits would choose one that suits by chance.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

from onnxprune.bench.protocol import Protocol
from onnxprune.bench.run import benchmark
from onnxprune.errors import OnnxPruneError, ProviderUnavailableError
from onnxprune.gate.entries import at_least, unmeasured, within
from onnxprune.gate.probes.registry import probe
from onnxprune.providers.interpreter import call_in

if TYPE_CHECKING:
    from onnxprune.bench.document import BenchReport
    from onnxprune.gate.document import CheckEntry
    from onnxprune.gate.job import Job
    from onnxprune.providers.check import Examination
    from onnxprune.providers.spec import ProviderSpec

_TIMEOUT_S: Final = 600.0
# Shorter than where figures are reported: on a busy machine, enough rebuilds matter more.
_PAIRS: Final = 4
_BLOCK_MS: Final = 10.0
_UNEVEN: Final = "the baseline differs from itself: this machine is too uneven at the moment"


@probe("max_latency_ratio", "min_provider_share")
def check_latency(job: Job) -> list[CheckEntry]:
    """Measure on every provider that has a limit."""
    section = job.section
    entries = []
    for spec in job.specs:
        limit = job.limit_for(section.max_latency_ratio, spec)
        if limit is not None:
            entries.append(_latency(job, spec, limit))
        least = job.limit_for(section.min_provider_share, spec)
        if least is not None:
            entries.append(_share(job, spec, least))
    return entries


def _latency(job: Job, spec: ProviderSpec, limit: float) -> CheckEntry:
    name = f"max-latency-ratio[{spec.text}]"
    for attempt in itertools.count():
        protocol = _protocol(job, attempt)
        try:
            report = _measure(job, spec, protocol)
        except ProviderUnavailableError as error:
            return unmeasured(name, limit, error)
        entry = _judge(name, limit, report, protocol, attempt + 1)
        if entry.outcome != "inconclusive" or attempt == job.section.retries:
            return entry
    raise AssertionError


def _protocol(job: Job, attempt: int) -> Protocol:
    plain, factor = Protocol(), 1 << attempt
    return Protocol(
        pairs=_PAIRS,
        block_ms=_BLOCK_MS,
        most_rebuilds=plain.most_rebuilds * factor,
        half_width=plain.half_width / factor,
        time_budget_s=job.section.time_budget * factor,
        seed=job.section.seed + 1000 * attempt,
    )


def _measure(job: Job, spec: ProviderSpec, protocol: Protocol) -> BenchReport:
    """Benchmark both models.

    Raises:
        ProviderUnavailableError: The provider is not here, or did not run a model.
    """
    section = job.section
    report = benchmark(
        [job.baseline_path, job.path], providers=[spec], threads=[section.threads],
        dims=section.dims, batch=section.batch, pythons=job.pythons, protocol=protocol,
        progress=job.progress,
    )  # fmt: skip
    job.benches[spec.text] = report
    job.notes += [note for note in report.notes if note not in job.notes]
    for failure in report.failures:
        raise ProviderUnavailableError(failure.error, hint=failure.hint)
    if not report.comparisons:
        message = f"'{spec.text}' computes on an emulator, which has no latency"
        raise ProviderUnavailableError(message)
    return report


def _judge(
    name: str, limit: float, report: BenchReport, protocol: Protocol, attempt: int
) -> CheckEntry:
    [found] = report.comparisons
    trouble = ""
    if not found.self_test.passed:
        trouble = _UNEVEN
    elif found.rebuilds < protocol.rebuilds:
        trouble = f"{found.rebuilds} of {protocol.rebuilds} rebuilds were done in the "
        trouble += f"{protocol.time_budget_s:g} s that there were"
    detail = f"attempt {attempt}" if attempt > 1 else ""
    return within(name, limit, found.ratio, found.ci95, trouble=trouble, detail=detail)


def _share(job: Job, spec: ProviderSpec, least: float) -> CheckEntry:
    name = f"min-provider-share[{spec.text}]"
    try:
        return at_least(name, least, _share_of(job, spec), unit="share")
    except OnnxPruneError as error:
        if error.exit_code != ProviderUnavailableError.exit_code:
            raise
        return unmeasured(name, least, error)


def _share_of(job: Job, spec: ProviderSpec) -> float:
    """Return the share of the nodes on a provider, from the benchmark if there was one."""
    known = job.benches.get(spec.text)
    for run in known.runs if known else ():
        if run.model == str(job.path):
            return run.share
    found: Examination = call_in(
        job.pythons.get(spec.facts.name, job.pythons.get("")),
        "onnxprune.providers.check:examine",
        {
            "model": str(job.path), "spec": spec, "recipe": job.recipe,
            "threads": job.section.threads, "tolerance": max(
                spec.facts.tolerance, job.alone.rounding
            ),
        },
        timeout_s=_TIMEOUT_S, memory_limit_bytes=None, task=f"checking provider {spec.text}",
    )  # fmt: skip
    return found.share
