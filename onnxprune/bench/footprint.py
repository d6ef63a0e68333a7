"""What a model costs a process that only loads it and runs it once: time and memory.

Runs in a child process of its own, which has done nothing before.
"""

from __future__ import annotations

import importlib
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from onnxprune.bench.energy import EnergyMeter
from onnxprune.providers.availability import require_provider
from onnxprune.providers.session import SessionSettings, open_on
from onnxprune.runtime.session import run_outputs

if TYPE_CHECKING:
    from onnxprune.providers.spec import ProviderSpec
    from onnxprune.runtime.feeds import Feed, FeedRecipe
    from onnxprune.runtime.session import Session

__all__ = ["Footprint", "measure_footprint"]

_RUNS = 3
_ENERGY_S = 1.0


@dataclass(frozen=True, slots=True)
class Footprint:
    """What loading and first running a model takes.

    Attributes:
        load_ms: From the file to a session.
        first_run_ms: The first run.
        peak_rss_bytes: The largest memory of the process over a few runs; None where the system
            does not tell.
        base_rss_bytes: The memory of the process before it loaded the model.
        energy_mj: Energy of the processor for one run, everything else that runs included; None
            where the system does not tell.
    """

    load_ms: float
    first_run_ms: float
    peak_rss_bytes: int | None
    base_rss_bytes: int | None
    energy_mj: float | None = None


def measure_footprint(
    model: str, spec: ProviderSpec, recipe: FeedRecipe, *, threads: int
) -> Footprint:
    """Load a model and run it.

    Args:
        model: The file.
        spec: The provider.
        recipe: The values to run it on.
        threads: Threads within an operator.

    Raises:
        ProviderUnavailableError: The provider does not take the model.
    """
    require_provider(spec.facts)  # imports and plug-in libraries are not the model's
    feed = recipe.make()
    base = _memory("VmRSS")
    start = time.perf_counter()
    session = open_on(spec, model, SessionSettings(threads=threads, dims=recipe.dims))
    loaded = time.perf_counter()
    run_outputs(session, feed)
    ran = time.perf_counter()
    for _ in range(_RUNS - 1):
        run_outputs(session, feed)
    return Footprint(
        load_ms=(loaded - start) * 1e3,
        first_run_ms=(ran - loaded) * 1e3,
        peak_rss_bytes=_memory("VmHWM"),
        base_rss_bytes=base,
        energy_mj=_energy(session, feed),
    )


def _energy(session: Session, feed: Feed) -> float | None:
    """Return the energy of a run, over as many as make a second."""
    meter = EnergyMeter()
    if not meter.available:
        return None
    meter.spent_mj()
    runs = 0
    end = time.perf_counter() + _ENERGY_S
    while time.perf_counter() < end:
        run_outputs(session, feed)
        runs += 1
    return meter.spent_mj() / runs


def _memory(field: str) -> int | None:
    """Return the memory of this process, the largest so far for VmHWM."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))
    except (OSError, StopIteration):
        pass
    if sys.platform == "win32" or field != "VmHWM":
        return None
    resource = importlib.import_module("resource")
    peak: int = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
