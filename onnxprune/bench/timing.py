"""Time several models in turns. Runs in a child process that does nothing else.

The sessions are rebuilt again and again, because a session keeps what it got by chance (where its
memory lies) and would pass it off as the model's. Within one build the models take turns in random
order, so that whatever else the machine does hits all of them; after each change of turn one run is
thrown away, because it finds the caches full of the other model; and all models run equally often.
"""

from __future__ import annotations

import gc
import math
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from onnxprune.bench.interval import cautious_interval
from onnxprune.bench.protocol import Clock, Protocol, choose_clock, summarize
from onnxprune.providers.session import SessionSettings, open_on, require_still_on
from onnxprune.runtime.session import run_outputs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from onnxprune.providers.spec import ProviderSpec
    from onnxprune.runtime.feeds import Feed, FeedRecipe

__all__ = ["Build", "Timing", "log_ratios", "time_models"]

# Intervals are looked at after these numbers of rebuilds only: to look each time, and to stop at
# the first narrow one, would choose intervals that are narrow by chance.
_LOOKS: Final = (8, 12, 16, 24, 32)

_MOST_RUNS: Final = 100
_LEAST_PAIRS: Final = 2
_LEAST_BUILDS: Final = 2
_BALLAST_BYTES: Final = 1 << 22
_BUDGET_SHARE: Final = 0.85


@dataclass(frozen=True, slots=True)
class Build:
    """What one build of the sessions gave.

    Attributes:
        wall_ns: For each model, the wall time of each run.
        cpu_ns: For each model, the time of the CPU of each run, all threads together.
    """

    wall_ns: tuple[NDArray[np.float64], ...]
    cpu_ns: tuple[NDArray[np.float64], ...]

    def times(self, clock: Clock) -> tuple[NDArray[np.float64], ...]:
        """Return the times by one clock."""
        return self.cpu_ns if clock == "cpu" else self.wall_ns


@dataclass(slots=True)
class Timing:
    """What `time_models` measured.

    Attributes:
        clock: The clock that counts.
        runs: Runs in a block.
        pairs: Blocks of each model in the last build: fewer when time runs short.
        builds: The measurements.
        stopped: Why it ended.
        seconds: How long it took.
        attempts: Which attempt this is, counted by the caller.
    """

    clock: Clock
    runs: int
    pairs: int
    builds: list[Build] = field(default_factory=list)
    stopped: str = ""
    seconds: float = 0.0
    attempts: int = 1


def log_ratios(
    timing: Timing, candidate: int, baselines: Sequence[int], *, clock: Clock | None = None
) -> list[float]:
    """Return for each build the logarithm of a model's time relative to others' geometric mean."""
    counting = clock or timing.clock
    found = []
    for build in timing.builds:
        logs = [math.log(summarize(t, counting)) for t in build.times(counting)]
        found.append(logs[candidate] - sum(logs[b] for b in baselines) / len(baselines))
    return found


def time_models(
    models: Sequence[str],
    spec: ProviderSpec,
    recipe: FeedRecipe,
    protocol: Protocol,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Timing:
    """Time models on a provider, all in this process.

    Args:
        models: Files; the first two are the baseline, twice, and the last is what is compared.
        spec: The provider.
        recipe: The values to run them on.
        protocol: How to measure.
        progress: Called with (done, total) after each build of the sessions.

    Raises:
        ProviderUnavailableError: The provider does not take a model, or gave it up.
        InvalidModelError: A model cannot be run.
    """
    started = time.monotonic()
    chance = random.Random(protocol.seed)  # noqa: S311  # order, not secrets
    feed = recipe.make()
    settings = SessionSettings(protocol.threads, protocol.spinning, dims=recipe.dims)
    timing: Timing | None = None
    building_s = 0.0
    while True:
        began = time.monotonic()
        ballast, calls = _build(models, spec, feed, settings, chance)
        run_ns = _warm_up(calls, protocol)
        building_s += time.monotonic() - began
        if timing is None:
            timing = _plan(spec, protocol, run_ns, len(models), building_s)
        timing.seconds = time.monotonic() - started
        timing.pairs = _pairs(timing, protocol, run_ns * len(models) / 1e9, building_s)
        timing.builds.append(_measure(calls, timing, chance))
        for call in calls:
            require_still_on(spec, call.session)
        del calls, ballast
        timing.seconds = time.monotonic() - started
        if progress is not None:
            progress(len(timing.builds), protocol.rebuilds)
        timing.stopped = _reason_to_stop(timing, protocol)
        if timing.stopped:
            return timing


@dataclass(slots=True)
class _Call:
    """A session and the way to run it."""

    session: Any
    feed: Feed
    native: bool

    def __call__(self) -> None:
        if self.native:
            self.session.run(None, self.feed)
        else:  # element types that NumPy does not know, converted on the way
            run_outputs(self.session, self.feed)


def _build(
    models: Sequence[str],
    spec: ProviderSpec,
    feed: Feed,
    settings: SessionSettings,
    chance: random.Random,
) -> tuple[list[bytearray], list[_Call]]:
    """Open the sessions in random order, with memory of random size between them."""
    gc.collect()
    native = all(
        isinstance(v, np.ndarray) and v.dtype.type.__module__ == "numpy" for v in feed.values()
    )
    ballast = []
    calls: dict[int, _Call] = {}
    for number in chance.sample(range(len(models)), len(models)):
        ballast.append(bytearray(chance.randrange(64, _BALLAST_BYTES)))
        calls[number] = _Call(open_on(spec, models[number], settings), feed, native)
    return ballast, [calls[number] for number in range(len(models))]


def _warm_up(calls: Sequence[_Call], protocol: Protocol) -> float:
    """Run each session for a while; return what a run of the baseline takes, in ns of the CPU."""
    baseline = 0.0
    for number, call in enumerate(calls):
        end = time.monotonic() + protocol.warm_up_ms / 1e3
        fastest = math.inf
        count = 0
        call()  # allocates, and is no measure
        while not count or time.monotonic() < end:
            start = time.perf_counter_ns()
            call()
            fastest = min(fastest, time.perf_counter_ns() - start)
            count += 1
        if number == 0:
            baseline = fastest
    return max(baseline, 1.0)


def _plan(
    spec: ProviderSpec, protocol: Protocol, run_ns: float, models: int, building_s: float
) -> Timing:
    """Choose clock and length of blocks: a single run each where the time allows no more."""
    each_s = _BUDGET_SHARE * protocol.time_budget_s / protocol.rebuilds - building_s
    roomy = each_s > models * protocol.pairs * 3 * run_ns / 1e9
    runs = min(max(round(protocol.block_ms * 1e6 / run_ns), 2 if roomy else 1), _MOST_RUNS)
    return Timing(choose_clock(spec.facts, protocol, run_ns=run_ns), runs, protocol.pairs)


def _pairs(timing: Timing, protocol: Protocol, turn_s: float, building_s: float) -> int:
    """Return how many blocks per model this build can have, so that there is time for the others.

    Args:
        timing: What was done so far, without this build.
        protocol: What is wanted.
        turn_s: What a run of every model takes.
        building_s: Time spent on building sessions so far, this build included.
    """
    done = len(timing.builds)
    left = protocol.rebuilds - done
    if left <= 0:
        return timing.pairs
    building_left_s = (left - 1) * building_s / (done + 1)
    left_s = _BUDGET_SHARE * protocol.time_budget_s - timing.seconds - building_left_s
    affordable = int(left_s / left / ((timing.runs + 1) * turn_s))
    return min(protocol.pairs, max(_LEAST_PAIRS, affordable))


def _measure(calls: Sequence[_Call], timing: Timing, chance: random.Random) -> Build:
    shape = (len(calls), timing.pairs, timing.runs)
    wall, cpu = np.empty(shape), np.empty(shape)
    clock, cpu_clock = time.perf_counter_ns, time.process_time_ns
    gc.disable()
    try:
        for pair in range(timing.pairs):
            for number in chance.sample(range(len(calls)), len(calls)):
                call = calls[number]
                call()
                for run in range(timing.runs):
                    cpu_start, start = cpu_clock(), clock()
                    call()
                    wall[number, pair, run] = clock() - start
                    cpu[number, pair, run] = cpu_clock() - cpu_start
    finally:
        gc.enable()
    return Build(tuple(t.reshape(-1) for t in wall), tuple(t.reshape(-1) for t in cpu))


def _reason_to_stop(timing: Timing, protocol: Protocol) -> str:
    done = len(timing.builds)
    if done >= protocol.most_rebuilds:
        return f"all {done} rebuilds were done"
    if done >= protocol.rebuilds and (done in _LOOKS or done == protocol.rebuilds):
        last = len(timing.builds[0].wall_ns) - 1
        baselines = [n for n in (0, 1) if n != last]
        widths = [cautious_interval(log_ratios(timing, last, baselines)).half_width]
        if last > 1:
            widths.append(cautious_interval(log_ratios(timing, 1, [0])).half_width / math.sqrt(2))
        if max(widths) <= protocol.half_width:
            return "the interval is narrow enough"
    if done >= _LEAST_BUILDS and timing.seconds * (1 + 1 / done) > protocol.time_budget_s:
        return f"the time of {protocol.time_budget_s:g} s was used up"
    return ""
