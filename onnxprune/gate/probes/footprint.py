"""What a model costs a process that loads it: time and memory, in fresh processes in turns."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Final

from onnxprune.bench.interval import cautious_interval
from onnxprune.errors import InvalidModelError, ProviderUnavailableError
from onnxprune.gate.entries import at_most, unmeasured, within
from onnxprune.gate.probes.registry import probe
from onnxprune.planning.options import parse_size
from onnxprune.providers.interpreter import call_in

if TYPE_CHECKING:
    from onnxprune.bench.footprint import Footprint
    from onnxprune.gate.document import CheckEntry
    from onnxprune.gate.job import Job
    from onnxprune.providers.spec import ProviderSpec

_ROUNDS: Final = 8
_TIMEOUT_S: Final = 600.0
_NO_MEMORY: Final = "this system does not tell the memory of a process"


@probe("max_load_ratio", "max_memory_ratio", "max_memory")
def check_footprint(job: Job) -> list[CheckEntry]:
    """Load and run both models in fresh processes, in turns."""
    return [entry for spec in job.specs for entry in _on(job, spec)]


def _on(job: Job, spec: ProviderSpec) -> list[CheckEntry]:
    section = job.section
    limits: dict[str, float] = {
        f"{name}[{spec.text}]": limit
        for name, limit in (
            ("max-load-ratio", section.max_load_ratio),
            ("max-memory-ratio", section.max_memory_ratio),
        )
        if limit is not None
    }
    rounds: list[tuple[Footprint, Footprint]] = []
    entries: list[CheckEntry] = []
    most = None if section.max_memory is None else parse_size(section.max_memory, "max-memory")
    try:
        for attempt in range(section.retries + 1):
            rounds += _rounds(job, spec, _ROUNDS << max(attempt - 1, 0), seed=attempt)
            entries = [_ratio(name, limit, rounds) for name, limit in limits.items()]
            if all(e.outcome != "inconclusive" for e in entries):
                break
    except ProviderUnavailableError as error:
        wanted = {**limits, **({f"max-memory[{spec.text}]": most} if most else {})}
        return [unmeasured(name, limit, error) for name, limit in wanted.items()]
    if most is not None:
        entries.append(_most(f"max-memory[{spec.text}]", most, rounds))
    return entries


def _ratio(name: str, limit: float, rounds: list[tuple[Footprint, Footprint]]) -> CheckEntry:
    value = _load if name.startswith("max-load") else _added
    pairs = [(value(before), value(after)) for before, after in rounds]
    logs = [math.log(after / before) for before, after in pairs if before and after]
    if len(logs) < len(pairs):
        return unmeasured(name, limit, InvalidModelError(_NO_MEMORY))
    found = cautious_interval(logs)
    detail = f"{len(rounds)} processes each"
    return within(name, limit, found.ratio, (found.low, found.high), detail=detail)


def _most(name: str, limit: float, rounds: list[tuple[Footprint, Footprint]]) -> CheckEntry:
    peaks = [after.peak_rss_bytes for _, after in rounds if after.peak_rss_bytes is not None]
    if len(peaks) < len(rounds):
        return unmeasured(name, limit, InvalidModelError(_NO_MEMORY))
    detail = f"the largest of {len(peaks)} processes"
    return at_most(name, limit, max(peaks), unit="bytes", detail=detail)


def _load(footprint: Footprint) -> float:
    return footprint.load_ms


def _added(footprint: Footprint) -> float:
    """Return the bytes that the model adds to its process; 0 where that is not known."""
    if footprint.peak_rss_bytes is None or footprint.base_rss_bytes is None:
        return 0.0
    return float(max(footprint.peak_rss_bytes - footprint.base_rss_bytes, 1))


def _rounds(
    job: Job, spec: ProviderSpec, count: int, *, seed: int
) -> list[tuple[Footprint, Footprint]]:
    """Measure the baseline and the pruned model so many times, in random order.

    Raises:
        ProviderUnavailableError: The provider does not take a model.
    """
    chance = random.Random(f"{job.section.seed} {seed}")  # noqa: S311  # order, not secrets
    found = []
    for number in range(count):
        job.tell(f"loading in fresh processes, round {number + 1} of {count}")
        pair: list[Footprint | None] = [None, None]
        for place in chance.sample((0, 1), 2):
            pair[place] = _footprint(job, spec, str((job.baseline_path, job.path)[place]))
        before, after = pair
        assert before is not None
        assert after is not None
        found.append((before, after))
    return found


def _footprint(job: Job, spec: ProviderSpec, model: str) -> Footprint:
    found: Footprint = call_in(
        job.pythons.get(spec.facts.name, job.pythons.get("")),
        "onnxprune.bench.footprint:measure_footprint",
        {"model": model, "spec": spec, "recipe": job.recipe, "threads": job.section.threads},
        timeout_s=_TIMEOUT_S, memory_limit_bytes=None, task=f"loading on {spec.text}",
    )  # fmt: skip
    return found
