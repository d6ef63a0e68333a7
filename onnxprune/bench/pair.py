"""Time one candidate against the baseline, and say what came out.

The baseline runs twice in every turn: the second is its own candidate. Whatever makes two identical
models differ, on this machine at this time, shows there, and then nothing is said about the other.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from onnxprune.bench.document import SelfTestEntry
from onnxprune.bench.interval import (
    RatioInterval,
    Verdict,
    cautious_interval,
    judge,
    ratio_interval,
)
from onnxprune.bench.timing import log_ratios

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from onnxprune.bench.protocol import Protocol
    from onnxprune.bench.timing import Timing

__all__ = ["CANDIDATE", "compare_pair", "self_test", "time_pair"]

CANDIDATE: Final = 2
"""Place of the candidate in a timing; before it are the baseline, and the baseline again."""

_ATTEMPTS: Final = 2
_SELF_TEST_LEVEL: Final = 0.99
_UNEVEN: Final = "the baseline differs from itself: this machine is too uneven at the moment"


def time_pair(
    baseline: str,
    candidate: str | None,
    *,
    protocol: Protocol,
    call: Callable[[Protocol, Sequence[str]], Timing],
) -> Timing:
    """Time a baseline twice and a candidate; all once more where the self-test fails.

    Args:
        baseline: The model that others are compared with.
        candidate: The other; None for the self-test alone.
        protocol: How to measure.
        call: Runs `timing.time_models` in a child process.
    """
    models = [baseline, baseline, *([candidate] if candidate else [])]
    timing = call(protocol, models)
    for attempt in range(1, _ATTEMPTS):
        if self_test(timing).passed:
            break
        timing = call(replace(protocol, seed=protocol.seed + attempt), models)
        timing.attempts = attempt + 1
    return timing


def self_test(timing: Timing) -> SelfTestEntry:
    """Compare the baseline with itself."""
    found = ratio_interval(log_ratios(timing, 1, [0]), level=_SELF_TEST_LEVEL)
    return SelfTestEntry(
        ratio=found.ratio,
        ci99=(found.low, found.high),
        passed=found.contains(1.0),
        attempts=timing.attempts,
    )


def compare_pair(timing: Timing, *, least: int) -> tuple[RatioInterval, Verdict, str]:
    """Return the ratio of candidate to baseline, what it allows to say, and why.

    Args:
        timing: The baseline twice, and the candidate.
        least: Rebuilds without which nothing is said.
    """
    logs = log_ratios(timing, CANDIDATE, [0, 1])
    test = self_test(timing)
    trouble = "" if test.passed else _UNEVEN
    verdict, reason = judge(logs, least=least, floor=test.ci99[0], trouble=trouble)
    return cautious_interval(logs), verdict, reason
