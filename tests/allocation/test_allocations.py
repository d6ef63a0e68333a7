"""Every allocation: known answers, and the laws that `solve` relies on."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxprune.allocation import (
    ALLOCATIONS,
    AllocationContext,
    Target,
    allocation,
    find_allocation,
    solve,
)
from onnxprune.allocation.knapsack import Offer
from onnxprune.core.steps import Candidate
from onnxprune.errors import InvalidConfigError, PluginError


def candidate(scores, first=0):
    """Return a candidate of single atoms, numbered from `first`, that keeps at least one."""
    count = len(scores)
    atoms = np.arange(first, first + count)
    return Candidate(
        None, atoms, np.arange(count + 1), np.array(scores, float), count - 1, "", count
    )


class Network:
    """Two groups or more whose atoms cost and hurt what is given, one by one."""

    def __init__(self, scores, costs, hurts):
        starts = np.cumsum([0, *(len(s) for s in scores)])
        self.candidates = [candidate(s, f) for s, f in zip(scores, starts, strict=False)]
        self.costs, self.hurts = costs, np.concatenate(hurts)
        self.total = sum(c * len(s) for c, s in zip(costs, scores, strict=True))

    def remaining(self, counts):
        gone = sum(c * n for c, n in zip(self.costs, counts, strict=True))
        return 1 - gone / self.total

    def context(self, goal):
        offers = [
            Offer(
                tuple(range(c.limit + 1)),
                tuple(float(self.hurts[c.atoms(n)].sum()) for n in range(c.limit + 1)),
            )
            for c in self.candidates
        ]
        return AllocationContext(
            self.candidates, self.remaining, goal, lambda a: float(self.hurts[a].sum()),
            lambda: offers,
        )  # fmt: skip


CHEAP_AND_DEAR = ([[1, 1, 2], [1, 2, 3, 4]], [1.0, 3.0], [[5, 5, 5], [1, 1, 1, 1]])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("uniform", [[1 / 6, 3 / 6, 5 / 6], [1 / 8, 3 / 8, 5 / 8, 7 / 8]]),
        ("global", [[1, 1, 2], [1, 2, 3, 4]]),
        ("lamp", [[1 / 6, 1 / 5, 1], [1 / 30, 4 / 29, 9 / 25, 1]]),
        # 15 is the whole cost: an atom of the first group saves 1/15, one of the second 3/15
        ("sensitivity", [[75, 75, 75], [5, 5, 5, 5]]),
        ("knapsack", [[1, 1, 1], [0, 0, 1, 1]]),
    ],
)
def test_by_hand(name, expected):
    found = ALLOCATIONS[name](Network(*CHEAP_AND_DEAR).context(goal=1 - 6 / 15))
    assert len(found) == len(expected)
    for mine, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=1e-6)


def test_by_hand_covers_every_allocation():
    assert set(ALLOCATIONS) == {"uniform", "global", "lamp", "sensitivity", "knapsack"}


scores = st.lists(st.floats(0, 10), min_size=2, max_size=9).map(sorted)


@given(st.lists(scores, min_size=1, max_size=4), st.sampled_from(sorted(ALLOCATIONS)), st.data())
def test_priorities_rise_and_meet_the_target(groups, name, data):
    hurts = [np.array([data.draw(st.floats(0, 2)) for _ in g]) for g in groups]
    costs = [data.draw(st.floats(0.5, 4)) for _ in groups]
    network = Network(groups, costs, hurts)
    target = Target("macs", 0.3)
    if network.remaining([c.limit for c in network.candidates]) > target.goal:
        return
    priorities = ALLOCATIONS[name](network.context(target.goal))
    for candidate_, mine in zip(network.candidates, priorities, strict=True):
        assert len(mine) == len(candidate_.scores)
        assert (np.diff(mine) >= 0).all()
        assert np.isfinite(mine).all()
    counts = solve(network.candidates, priorities, target, network.remaining)
    assert network.remaining(counts) <= target.goal + 1e-9
    assert all(n <= c.limit for n, c in zip(counts, network.candidates, strict=True))


def test_lamp_spares_a_narrow_group_that_a_threshold_empties():
    network = Network([[1, 1.1], [1.2] * 40], [1.0, 1.0], [np.ones(2), np.ones(40)])
    counts = {}
    for name in ("global", "lamp"):
        priorities = ALLOCATIONS[name](network.context(goal=0.5))
        counts[name] = solve(
            network.candidates, priorities, Target("params", 0.5),
            remaining=network.remaining,
        )  # fmt: skip
    assert counts["global"][0] == 1
    assert counts["lamp"][0] == 0


def test_a_curve_that_flattens_counts_as_if_it_rose():
    network = Network([[1] * 11], [1.0], [[1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0]])
    [found] = ALLOCATIONS["sensitivity"](network.context(goal=0.5))
    np.testing.assert_allclose(found, found[0], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "samples", "match"),
    [("magic", True, "no allocation 'magic'"), ("sensitivity", False, "with samples"),
     ("knapsack", False, "with samples")],
)  # fmt: skip
def test_wrong_names(name, samples, match):
    with pytest.raises(InvalidConfigError, match=match):
        find_allocation(name, samples=samples)


def test_the_table():
    for entry in ALLOCATIONS.values():
        assert entry.summary.endswith(".")
        assert sys.modules[entry.module].__doc__
    with pytest.raises(PluginError, match="registered by"):
        allocation("lamp")(ALLOCATIONS["lamp"].function)
