"""Put together what child processes measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from onnxprune.bench.document import ComparisonEntry, ProviderRuntime, RunEntry
from onnxprune.bench.operators import attribute, macs_share, match, total_by_op
from onnxprune.bench.pair import CANDIDATE, compare_pair, self_test

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from onnxprune.bench.footprint import Footprint
    from onnxprune.bench.protocol import Clock, Protocol
    from onnxprune.bench.timing import Timing
    from onnxprune.bench.workload import Subject
    from onnxprune.providers.check import Examination
    from onnxprune.providers.spec import ProviderSpec

__all__ = ["Samples", "comparison", "run_entry", "runtime", "samples_of"]

Samples = tuple["NDArray[np.float64]", "NDArray[np.float64]"]
"""Times of runs in nanoseconds: on the wall, and of the CPU."""

_STATISTIC: Final[dict[Clock, str]] = {"cpu": "median", "wall": "first decile"}


def samples_of(timings: Sequence[Timing], number: int) -> Samples | None:
    """Return all runs of a model: the baseline's (number 0) are in every timing, twice."""
    if not timings:
        return None
    picked = [(t, p) for t in timings for p in (0, 1)]
    if number:
        picked = [(timings[number - 1], CANDIDATE)]
    builds = [(build, place) for timing, place in picked for build in timing.builds]
    wall = np.concatenate([build.wall_ns[place] for build, place in builds])
    return wall, np.concatenate([build.cpu_ns[place] for build, place in builds])


def runtime(spec: ProviderSpec, protocol: Protocol, examined: Examination) -> ProviderRuntime:
    """Describe a provider as it ran."""
    emulated = examined.availability.emulated
    notes = [
        f"{spec.text}: option '{name}' is none of those known, the provider may ignore it"
        for name in spec.given
        if name not in spec.facts.options
    ]
    if emulated:
        notes.append(
            f"{spec.text} computes on {emulated}: results are checked, no latency is given"
        )
    return ProviderRuntime(
        provider=spec.text,
        name=spec.name,
        options=spec.options(threads=protocol.threads),
        onnxruntime=examined.runtime_version,
        detail=examined.availability.detail,
        emulated=emulated,
        notes=notes,
    )


def run_entry(  # everything that is known of a run
    spec: ProviderSpec,
    protocol: Protocol,
    subject: Subject,
    examined: Examination,
    footprint: Footprint,
    samples: Samples | None,
) -> RunEntry:
    """Describe one model on one provider."""
    placement = examined.placement
    quantiles: list[float | None] = [None, None, None]
    cpu = None
    if samples is not None:
        quantiles = [round(float(q) / 1e6, 6) for q in np.quantile(samples[0], (0.5, 0.9, 0.99))]
        cpu = round(float(np.median(samples[1])) / 1e6, 6)
    off = [d.max_rel for d in examined.differences]
    return RunEntry(
        model=subject.path,
        provider=spec.text,
        threads=protocol.threads,
        bytes=subject.bytes,
        macs=subject.total_macs or None,
        p50_ms=quantiles[0],
        p90_ms=quantiles[1],
        p99_ms=quantiles[2],
        cpu_p50_ms=cpu,
        samples=0 if samples is None else len(samples[0]),
        load_ms=None if samples is None else round(footprint.load_ms, 3),
        first_run_ms=None if samples is None else round(footprint.first_run_ms, 3),
        peak_rss_bytes=footprint.peak_rss_bytes,
        base_rss_bytes=footprint.base_rss_bytes,
        energy_mj=footprint.energy_mj,
        placement={name: round(share, 6) for name, share in placement.shares().items()},
        share=round(examined.share, 6),
        macs_share=macs_share(placement.nodes, spec.name, subject.macs),
        max_rel_difference=max(off) if off else None,
        operators=attribute(placement.kernels, subject.graph, subject.macs),
    )


def comparison(
    spec: ProviderSpec, protocol: Protocol, before: RunEntry, after: RunEntry, timing: Timing
) -> ComparisonEntry:
    """Compare a candidate with the baseline."""
    found, verdict, reason = compare_pair(timing, least=protocol.rebuilds)
    walls = samples_of([timing], 0), samples_of([timing], 1)
    medians = [float(np.median(samples[0])) for samples in walls if samples is not None]
    return ComparisonEntry(
        baseline=before.model,
        candidate=after.model,
        provider=spec.text,
        threads=protocol.threads,
        ratio=found.ratio,
        ci95=(found.low, found.high),
        verdict=verdict,
        reason=reason,
        clock=timing.clock,
        statistic=_STATISTIC[timing.clock],
        wall_p50_ratio=medians[1] / medians[0],
        macs_ratio=after.macs / before.macs if before.macs and after.macs else None,
        rebuilds=len(timing.builds),
        pairs=timing.pairs,
        runs=timing.runs,
        stopped=timing.stopped,
        seconds=round(timing.seconds, 3),
        self_test=self_test(timing),
        operators=match(before.operators, after.operators),
        by_op=total_by_op(before.operators, after.operators),
    )
