"""The statistics of an audit: pure functions on what two models answered, sample by sample.

Both models see the same samples, so everything here is paired. For a sample, the change is 1 where
only the original is right, -1 where only the pruned model is, else 0; accuracy falls by its mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Flags = NDArray[np.bool_]
    Interval = tuple[float, float]

__all__ = [
    "LEVEL",
    "GroupChange",
    "calibration_error",
    "compare_groups",
    "flip_shares",
    "holm",
    "overall_interval",
    "permutation_p",
]

LEVEL: Final = 0.05
"""Probability that any group is found at all where pruning treats all groups alike."""

_RESAMPLES: Final = 2000
_BINS: Final = 15


@dataclass(frozen=True, slots=True)
class GroupChange:
    """What became of a group's accuracy.

    Attributes:
        name: the group.
        samples: how many samples it has.
        before: accuracy of the original.
        after: accuracy of the pruned model.
        drop_ci95: 95 % bootstrap interval of before - after.
        excess: before - after, minus the same over all samples (psi).
        excess_ci95: its 95 % bootstrap interval.
        p_value: probability of such an excess or more if the changes were dealt out by chance.
        p_holm: the same, corrected for the number of groups.
    """

    name: str
    samples: int
    before: float
    after: float
    drop_ci95: Interval
    excess: float
    excess_ci95: Interval
    p_value: float
    p_holm: float


def compare_groups(
    before: Flags, after: Flags, groups: Sequence[str], *, seed: int = 0
) -> list[GroupChange]:
    """Return how much more, or less, each group lost than all samples together, by name.

    The excess psi_g = [A_g(original) - A_g(pruned)] - [A(original) - A(pruned)] is the gap of Tran
    et al., "Pruning has a disparate impact on model accuracy" (2022), for accuracies. Intervals are
    percentiles of a paired bootstrap, stratified by group (Efron and Tibshirani 1993, chapter 13).
    They have no width where all samples of a group agree, so what is significant is decided by an
    exact test instead (`permutation_p`), one-sided, with the correction of Holm over all groups.

    Args:
        before: [n] whether the original is right.
        after: [n] whether the pruned model is right.
        groups: [n] the group of each sample.
        seed: of the bootstrap.

    Examples:
        >>> before = np.ones(40, bool)
        >>> after = np.arange(40) >= 8
        >>> found = compare_groups(before, after, ["a"] * 10 + ["b"] * 30)
        >>> [(g.name, round(g.excess, 3), g.p_holm < 0.05) for g in found]
        [('a', 0.6, True), ('b', -0.2, False)]
    """
    names, places = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
    change = _change(before, after)
    counts = np.stack(
        [np.bincount(places[change == c], minlength=len(names)) for c in (1, -1, 0)], axis=1
    )
    sizes = counts.sum(axis=1)
    right = [np.bincount(places, weights=flags) / sizes for flags in (before, after)]
    random = np.random.default_rng(seed)
    sums = [_resampled(c, random).astype(np.int32) for c in counts]
    overall = sum(sums) / len(change)
    everything = counts.sum(axis=0)
    p_values = [permutation_p(c.tolist(), everything.tolist()) for c in counts]
    return [
        GroupChange(
            name=str(name), samples=int(sizes[g]),
            before=float(right[0][g]), after=float(right[1][g]),
            drop_ci95=_interval(sums[g] / sizes[g]),
            excess=float((counts[g, 0] - counts[g, 1]) / sizes[g] - change.mean()),
            excess_ci95=_interval(sums[g] / sizes[g] - overall),
            p_value=p_values[g], p_holm=corrected,
        )
        for g, (name, corrected) in enumerate(zip(names, holm(p_values), strict=True))
    ]  # fmt: skip


def permutation_p(group: Sequence[int], everything: Sequence[int]) -> float:
    """Return the probability that a random part of the samples loses as much as a group did.

    The exact one-sided permutation test (Fisher 1935) for the sum of the changes in a group: with
    nothing but losses it is Fisher's exact test of a 2 x 2 table. It keeps its level for any number
    of samples, because nothing is approximated.

    Args:
        group: number of samples in the group that were lost, gained, and did not change.
        everything: the same for all samples.

    Examples:
        >>> permutation_p((3, 0, 0), (3, 0, 3))  # one of 20 ways to deal out three losses
        0.05
        >>> permutation_p((0, 0, 5), (0, 0, 50))
        1.0
    """
    from scipy.stats import hypergeom  # noqa: PLC0415  # takes a second to load

    size, total = sum(group), sum(everything)
    lost = np.arange(min(size, everything[0]) + 1)
    chance = hypergeom.pmf(lost, total, everything[0], size)
    likely = chance > 0
    lost, chance = lost[likely], chance[likely]
    # Of what else is in the group, so few were gained that the sum is as large as seen.
    rest = hypergeom.cdf(
        lost - (group[0] - group[1]), total - everything[0], everything[1], size - lost
    )
    return float(f"{min(1.0, chance @ rest):.9g}")  # sums are not more exact than that


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct for testing several hypotheses (Holm, Scandinavian J. of Statistics 6, 65, 1979).

    A hypothesis that is rejected where its corrected value is at most a level keeps the probability
    of any wrong rejection at that level, however the tests depend on each other.

    Examples:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    steps = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(steps, 1.0)
    return [float(p) for p in corrected]


def overall_interval(before: Flags, after: Flags, *, seed: int = 0) -> Interval:
    """Return the 95 % interval of the fall of the accuracy: percentiles of a paired bootstrap.

    Args:
        before: [n] whether the original is right.
        after: [n] whether the pruned model is right.
        seed: of the bootstrap.
    """
    change = _change(before, after)
    counts = np.array([(change == c).sum() for c in (1, -1, 0)])
    return _interval(_resampled(counts, np.random.default_rng(seed)) / len(change))


def calibration_error(right: Flags, confidence: NDArray[np.float64]) -> float:
    """Return the expected calibration error over 15 bins of equal width.

    Guo et al., "On calibration of modern neural networks" (ICML 2017), equation 3: the mean, over
    the samples, of the distance between accuracy and confidence in a sample's bin.

    Args:
        right: [n] whether the model is right.
        confidence: [n] the probability that it gave its answer.

    Examples:
        >>> calibration_error(np.array([True, False]), np.array([0.75, 0.75]))
        0.25
    """
    bins = np.clip(np.ceil(confidence * _BINS).astype(int) - 1, 0, _BINS - 1)
    gaps = np.bincount(bins, weights=right - confidence, minlength=_BINS)
    return float(np.abs(gaps).sum() / len(right))


def flip_shares(
    original: NDArray[np.int64], variants: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return how many pruned models answer other than the original, and which samples are lost.

    A sample is pruning-identified when the answer that most pruned models give (the smallest class
    of those that are given equally often, and the original's before any other) is not the
    original's: Hooker et al., "What do compressed deep neural networks forget?" (2019), with pruned
    variants of one network in place of populations of networks that were trained anew.

    Args:
        original: [n] the original's answers.
        variants: [k n] the answers of pruned models.

    Returns:
        Shares, [n], from 0 to 1; and flags, [n].

    Examples:
        >>> shares, found = flip_shares(np.array([1, 1]), np.array([[1, 2], [2, 2], [1, 1]]))
        >>> shares.round(2).tolist(), found.tolist()
        ([0.33, 0.67], [False, True])
    """
    shares = (variants != original).mean(axis=0)
    # Where another answer is the most frequent, it is given more often than the original's.
    same = (variants == original).sum(axis=0)
    other = np.zeros_like(same)
    for answers in variants:
        times = (variants == answers).sum(axis=0)
        other = np.maximum(other, np.where(answers == original, 0, times))
    return shares, other > same


def _change(before: Flags, after: Flags) -> NDArray[np.int64]:
    return before.astype(np.int64) - after.astype(np.int64)


def _resampled(counts: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
    """Return the sum of the changes in resamplings, without drawing every sample.

    Args:
        counts: numbers of samples that were lost, gained, and did not change.
        random: what is drawn from.
    """
    drawn = random.multinomial(counts.sum(), counts / counts.sum(), size=_RESAMPLES)
    summed: NDArray[np.int64] = drawn[:, 0] - drawn[:, 1]
    return summed


def _interval(values: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)
