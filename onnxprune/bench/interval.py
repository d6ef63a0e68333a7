"""Intervals for ratios, and what they allow to say.

Every rebuild of the sessions gives one log ratio. Rebuilds differ more than runs within one do (a
session keeps its memory layout), so the spread between rebuilds is what an interval must show.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "FASTER_LEVEL",
    "MARGIN",
    "RatioInterval",
    "Verdict",
    "cautious_interval",
    "judge",
    "ratio_interval",
    "t_quantile",
]

Verdict: TypeAlias = Literal["faster", "not_faster", "inconclusive"]

MARGIN: Final = 0.02
"""Gains below this are none: an interval that leaves room for no more is "not faster"."""

FASTER_LEVEL: Final = 0.998
"""Confidence of the interval that must lie below 1 for "faster": a wrong one in a thousand."""

_CAUTIOUS_LEVEL: Final = 0.98
_LEAST: Final = 2


@dataclass(frozen=True, slots=True)
class RatioInterval:
    """A ratio and the interval it lies in."""

    ratio: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half of the interval's width, relative to the ratio."""
        return (self.high - self.low) / 2.0 / self.ratio

    def contains(self, value: float) -> bool:
        """Tell whether a value is inside."""
        return self.low <= value <= self.high


def t_quantile(probability: float, freedom: int) -> float:
    """Return a quantile of Student's t distribution, to three digits from 5 degrees of freedom.

    A series in the normal quantile (Cornish and Fisher): timing runs in environments without SciPy.

    Examples:
        >>> round(t_quantile(0.975, 7), 2), round(t_quantile(0.995, 15), 2)
        (2.36, 2.95)
    """
    z = NormalDist().inv_cdf(probability)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / float(freedom) ** power for power, term in enumerate(terms, 1))


def ratio_interval(logs: Sequence[float], *, level: float = 0.95) -> RatioInterval:
    """Return the t interval of a ratio over independent log ratios.

    Args:
        logs: One natural logarithm per rebuild, two at least.
        level: Its confidence.

    Examples:
        >>> found = ratio_interval([-0.70, -0.69, -0.68, -0.69])
        >>> round(found.ratio, 2), found.contains(0.5)
        (0.5, True)
    """
    if len(logs) < _LEAST:
        message = f"{len(logs)} log ratios give no interval"
        raise ValueError(message)
    mean = fmean(logs)
    reach = t_quantile(0.5 + level / 2, len(logs) - 1) * stdev(logs) / math.sqrt(len(logs))
    return RatioInterval(math.exp(mean), math.exp(mean - reach), math.exp(mean + reach))


def cautious_interval(logs: Sequence[float]) -> RatioInterval:
    """Return an interval that holds the ratio in 95 of 100 measurements at least.

    It is the t interval of 98 %: rebuilds in one process are not quite independent, and measuring
    stops at a narrow interval, which is sometimes narrow by chance.
    """
    return ratio_interval(logs, level=_CAUTIOUS_LEVEL)


def judge(
    logs: Sequence[float], *, least: int, floor: float = 1.0, trouble: str = ""
) -> tuple[Verdict, str]:
    """Return what log ratios of candidate to baseline allow to say, and why.

    Args:
        logs: One per rebuild.
        least: Rebuilds without which nothing is said.
        floor: A ratio that identical models may show; no "faster" above it.
        trouble: What else forbids to say anything.
    """
    if trouble:
        return "inconclusive", trouble
    if len(logs) < least:
        return "inconclusive", f"{len(logs)} of {least} rebuilds were done in the time there was"
    strict = ratio_interval(logs, level=FASTER_LEVEL)
    if strict.high < 1.0 and strict.ratio < floor:
        return "faster", f"the {FASTER_LEVEL:.1%} interval ends at {strict.high:.3f}"
    plain = cautious_interval(logs)
    if plain.low > 1.0 - MARGIN:
        return "not_faster", f"a gain of more than {MARGIN:.0%} is ruled out"
    return "inconclusive", f"the ratio is between {plain.low:.3f} and {plain.high:.3f}"
