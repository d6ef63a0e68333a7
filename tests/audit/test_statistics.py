"""The statistics of audits: exact where they claim to be, silent where nothing is, and awake."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import fisher_exact

from onnxprune.audit.statistics import (
    LEVEL,
    calibration_error,
    compare_groups,
    flip_shares,
    holm,
    overall_interval,
    permutation_p,
)

GROUPS = ["a"] * 30 + ["b"] * 50 + ["c"] * 120


def flips(random: np.random.Generator, shares: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Return what is right before and after, where samples flip either way with a probability."""
    before = random.random(len(shares)) < 0.9
    return before, before ^ (random.random(len(shares)) < shares)


def test_identical_models_are_never_suspected() -> None:
    random = np.random.default_rng(1)
    for seed in range(100):
        before, _ = flips(random, [0.0] * len(GROUPS))
        drawn = random.integers(0, len(GROUPS), len(GROUPS))
        found = compare_groups(before[drawn], before[drawn], np.array(GROUPS)[drawn], seed=seed)
        assert all(g.p_holm == 1 and g.excess == 0 for g in found)
        assert all(g.drop_ci95 == (0, 0) for g in found)
        assert overall_interval(before[drawn], before[drawn]) == (0, 0)


def test_harm_without_regard_to_groups_keeps_the_level() -> None:
    """At most 5 % false alarms over all groups; 13 of 100 would be one chance in a thousand."""
    random = np.random.default_rng(2)
    alarms = 0
    for _ in range(100):
        found = compare_groups(*flips(random, [0.15] * len(GROUPS)), GROUPS)
        alarms += any(g.p_holm <= LEVEL for g in found)
    assert alarms < 13


@pytest.mark.parametrize("hurt", ["a", "b", "c"])
def test_a_planted_group_is_found(hurt: str) -> None:
    random = np.random.default_rng(3)
    for _ in range(10):
        before, after = flips(random, [0.02] * len(GROUPS))
        planted = np.array(GROUPS) == hurt
        after[planted & (random.random(len(GROUPS)) < 0.5)] = False
        found = {g.name: g for g in compare_groups(before, after, GROUPS)}
        assert [n for n, g in found.items() if g.p_holm <= LEVEL] == [hurt]
        low, high = found[hurt].excess_ci95
        assert 0 < low < found[hurt].excess < high
        assert found[hurt].before - found[hurt].after > 0.2


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("xyz"), st.booleans(), st.booleans()), min_size=1))
def test_excesses_cancel(samples: list[tuple[str, bool, bool]]) -> None:
    """Weighted by their sizes, excesses sum to nothing; drops lie in their intervals' range."""
    groups, before, after = ([s[i] for s in samples] for i in range(3))
    found = compare_groups(np.array(before), np.array(after), groups)
    assert sum(g.samples for g in found) == len(samples)
    assert sum(g.excess * g.samples for g in found) == pytest.approx(0, abs=1e-9)
    for g in found:
        assert -1 <= g.drop_ci95[0] <= g.drop_ci95[1] <= 1
        assert 0 < g.p_value <= g.p_holm <= 1


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from([-1, 0, 1]), min_size=2, max_size=7), st.data())
def test_the_p_value_is_exact(changes: list[int], data: st.DataObject) -> None:
    """It equals the share of all ways to choose the group's samples."""
    size = data.draw(st.integers(1, len(changes)))
    ways = [sum(chosen) for chosen in itertools.combinations(changes, size)]
    seen = changes[:size]
    expected = sum(way >= sum(seen) for way in ways) / len(ways)
    counts = [tuple(part.count(v) for v in (1, -1, 0)) for part in (seen, changes)]
    assert permutation_p(*counts) == pytest.approx(expected)


def test_with_losses_only_it_is_fishers_test() -> None:
    table = [[8, 12], [5, 75]]
    expected = fisher_exact(table, alternative="greater").pvalue
    assert permutation_p((8, 0, 12), (13, 0, 87)) == pytest.approx(expected)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm(p_values: list[float]) -> None:
    """What it rejects is what the step-down procedure rejects, one after the other."""
    corrected = holm(p_values)
    rejected = set()
    for step, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        if p_values[index] * (len(p_values) - step) > LEVEL:
            break
        rejected.add(index)
    assert {i for i, p in enumerate(corrected) if p <= LEVEL} == rejected
    assert all(c >= p for c, p in zip(corrected, p_values, strict=True))


def test_calibration_error() -> None:
    sure = np.full(100, 0.9)
    right = np.arange(100) < 90
    assert calibration_error(right, sure) == pytest.approx(0)
    assert calibration_error(right, np.ones(100)) == pytest.approx(0.1)
    both = np.concatenate([sure, np.full(100, 0.5)])
    half = np.concatenate([right, np.arange(100) < 30])
    assert calibration_error(half, both) == pytest.approx(0.1)  # mean of 0 and 0.2
    assert calibration_error(np.array([False]), np.array([0.0])) == 0


@pytest.mark.parametrize(
    ("original", "variants", "share", "lost"),
    [
        (1, [1, 1, 1], 0, False),
        (1, [2], 1, True),
        (1, [1, 2], 0.5, False),  # as often as another: it stands
        (1, [2, 3, 1], 2 / 3, False),
        (1, [2, 2, 1], 2 / 3, True),
        (1, [2, 3, 4], 1, True),
    ],
)
def test_flips(original: int, variants: list[int], share: float, lost: bool) -> None:
    shares, found = flip_shares(np.array([original]), np.array(variants)[:, None])
    assert shares[0] == pytest.approx(share)
    assert found[0] == lost
