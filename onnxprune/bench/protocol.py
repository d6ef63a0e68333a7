"""How is measured: the numbers of the protocol, and which clock's which statistic counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from onnxprune.providers.facts import ProviderFacts

__all__ = ["Clock", "ClockChoice", "Protocol", "choose_clock", "summarize"]

Clock: TypeAlias = Literal["cpu", "wall"]
ClockChoice: TypeAlias = Literal["auto", "cpu", "wall"]

# Below, a run mostly ends before the scheduler takes the core away, and the fastest tenth of wall
# times are undisturbed; above, only the time that the CPU spent is.
_CPU_TIME_FROM_NS: Final = 3e6


@dataclass(frozen=True, slots=True)
class Protocol:
    """The numbers of the protocol.

    Attributes:
        threads: Threads within an operator; 0 lets the runtime choose.
        spinning: Whether they spin while they wait.
        clock: Which clock counts; "auto" chooses by model and provider.
        rebuilds: How often the sessions are built anew at least; no verdict with fewer.
        most_rebuilds: And at most.
        pairs: Blocks of each model within one build of the sessions.
        block_ms: How long a block is to last.
        warm_up_ms: How long each session runs before anything counts, two runs at least.
        half_width: Relative half width of the interval at which measuring stops.
        time_budget_s: Time for one comparison, after which no further rebuild starts.
        seed: Of the order.
    """

    threads: int = 1
    spinning: bool = False
    clock: ClockChoice = "auto"
    rebuilds: int = 8
    most_rebuilds: int = 32
    pairs: int = 6
    block_ms: float = 20.0
    warm_up_ms: float = 40.0
    half_width: float = 0.02
    time_budget_s: float = 30.0
    seed: int = 0


def choose_clock(facts: ProviderFacts, protocol: Protocol, *, run_ns: float) -> Clock:
    """Return the clock that counts.

    The time of the CPU is the latency only where one thread computes and waits for nobody.

    Args:
        facts: The provider.
        protocol: Threads, and what the user wants.
        run_ns: What a run of the baseline takes.
    """
    if protocol.clock != "auto":
        return protocol.clock
    alone = facts.device == "cpu" and protocol.threads == 1 and not protocol.spinning
    return "cpu" if alone and run_ns >= _CPU_TIME_FROM_NS else "wall"


def summarize(times: NDArray[np.float64] | Any, clock: Clock) -> float:  # noqa: ANN401  # or a list
    """Return the one number that stands for the runs of a session.

    The median of the CPU's times, which nothing else can shorten; the first decile of wall times,
    which leaves out the runs that somebody else disturbed.
    """
    return float(np.median(times) if clock == "cpu" else np.quantile(times, 0.1))
