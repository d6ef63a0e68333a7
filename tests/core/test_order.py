"""Channel orders: properties, the baseline as published, blocks and operands."""

from __future__ import annotations

from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxprune.core.order import (
    Operands,
    best_order,
    consecutive_order,
    evaluate_order,
    upscale_order,
)
from onnxprune.core.order.pq_tree import frontier, require, require_all, universal
from onnxprune.core.order.runs import _move, _reversal, fewer_runs
from onnxprune.errors import InternalError


def is_one_run(order, wanted):
    places = sorted(order.index(channel) for channel in wanted)
    return not places or places[-1] - places[0] == len(places) - 1


@st.composite
def streams(draw, *, channels=12, consumers=6):
    n = draw(st.integers(1, channels))
    wanted = st.sets(st.integers(0, n - 1))
    sets = draw(st.lists(wanted, max_size=consumers))
    weights = draw(st.lists(st.integers(1, 50), min_size=len(sets), max_size=len(sets)))
    return n, sets, weights


@st.composite
def runs_of_hidden_order(draw, *, channels=40, consumers=12):
    n = draw(st.integers(1, channels))
    hidden = draw(st.permutations(range(n)))
    ends = st.tuples(st.integers(0, n), st.integers(0, n)).map(sorted)
    return n, [set(hidden[a:b]) for a, b in draw(st.lists(ends, max_size=consumers))]


@given(runs_of_hidden_order())
def test_order_without_copies_is_found(stream):
    n, sets = stream
    order = consecutive_order(n, sets)
    assert order is not None
    assert sorted(order) == list(range(n))
    assert all(is_one_run(order, wanted) for wanted in sets)
    best = best_order(n, sets, [1] * len(sets))
    assert best.bytes_copied == 0
    assert best.exact


@given(streams())
def test_runs_and_bytes_are_what_they_are_said_to_be(stream):
    n, sets, weights = stream
    best = best_order(n, sets, weights, run_cost=3)
    assert sorted(best.order) == list(range(n))
    lines = ["".join(" x"[c in wanted] for c in best.order) for wanted in sets]
    assert list(best.runs) == [len(line.split()) for line in lines]
    copied = [
        len(s) * w for s, w in zip(sets, weights, strict=True) if not is_one_run(best.order, s)
    ]
    assert best.bytes_copied == sum(copied)
    assert best.cost == sum(copied) + 3 * sum(runs - 1 for runs in best.runs if runs)


@given(streams(), st.randoms(use_true_random=False))
def test_bytes_do_not_depend_on_names_or_sequence(stream, random):
    n, sets, weights = stream
    best = best_order(n, sets, weights)
    assert best == best_order(n, sets, weights)
    names = random.sample(range(n), n)
    pairs = [({names[c] for c in s}, w) for s, w in zip(sets, weights, strict=True)]
    random.shuffle(pairs)
    other = best_order(n, [s for s, _ in pairs], [w for _, w in pairs])
    assert best.exact
    assert other.exact
    assert other.bytes_copied == best.bytes_copied


@given(streams(channels=20, consumers=20), st.sampled_from([0, 1000, 400_000]))
def test_no_effort_is_worse_than_the_baseline(stream, effort):
    n, sets, weights = stream
    baseline = evaluate_order(upscale_order(n, sets), sets, weights)
    best = best_order(n, sets, weights, effort=effort)
    assert best.bytes_copied <= baseline.bytes_copied
    if best.exact:
        assert best.bytes_copied <= best_order(n, sets, weights, effort=0).bytes_copied


@given(streams(), st.data())
def test_blocks_stay_together(stream, data):
    n, sets, weights = stream
    cuts = sorted(data.draw(st.sets(st.integers(1, n))) | {0, n})
    blocks = [range(a, b) for a, b in pairwise(cuts)]
    best = best_order(n, sets, weights, blocks=blocks)
    assert sorted(best.order) == list(range(n))
    assert all(is_one_run(best.order, block) for block in blocks)
    assert best.exact
    assert best.bytes_copied >= best_order(n, sets, weights).bytes_copied
    free = consecutive_order(n, sets, blocks=blocks)
    assert (free is not None) == (best.bytes_copied == 0)
    if free is not None:
        assert all(is_one_run(free, wanted) for wanted in [*blocks, *sets])


@given(streams(channels=7, consumers=4))
def test_tree_stands_for_exactly_the_right_orders(stream):
    n, sets, _ = stream
    tree = require_all(universal(n), (sum(1 << c for c in wanted) for wanted in sets))
    if tree is None:
        return
    assert sorted(frontier(tree)) == list(range(n))
    assert all(is_one_run(frontier(tree), wanted) for wanted in sets)
    for a in range(n):  # two leaves can be neighbours if and only if the sets allow it
        for b in range(a):
            both = {a, b}
            assert (require(tree, 1 << a | 1 << b) is None) == (
                consecutive_order(n, [*sets, both]) is None
            )


def weighted_runs(order, contains, weights):
    ordered = np.pad(contains[:, order], ((0, 0), (1, 0)))
    return int((ordered[:, 1:] & ~ordered[:, :-1]).sum(1) @ weights)


@pytest.mark.parametrize("seed", range(20))
def test_rearranging_lowers_the_number_of_runs(seed):
    generator = np.random.default_rng(seed)
    contains = generator.random((5, 7)) < 0.4
    weights = generator.integers(1, 9, 5)
    start = generator.permutation(7).tolist()
    order = fewer_runs(start, contains, weights)
    assert sorted(order) == list(range(7))
    reached = weighted_runs(order, contains, weights)
    assert reached <= weighted_runs(start, contains, weights)
    least = min(weighted_runs(list(o), contains, weights) for o in permutations(range(7)))
    assert reached <= 1.1 * least


@pytest.mark.parametrize("seed", range(20))
def test_changes_of_a_trip_are_what_was_predicted(seed):
    points = np.random.default_rng(seed).integers(0, 50, (9, 2))
    between = np.abs(points[:, None] - points[None, :]).sum(2).astype(float)

    def length(tour):
        return between[tour, np.roll(tour, -1)].sum()

    moves = [_reversal(between), *(_move(between, count) for count in range(1, 8))]
    for change, tour in moves:
        assert sorted(tour.tolist()) == list(range(9))
        if change < 0:  # otherwise there is no better trip and the places mean nothing
            assert length(tour) == length(np.arange(9)) + change


def test_deep_trees_do_not_recurse():
    nested = [set(range(size)) for size in range(2, 2400, 2)]
    order = consecutive_order(2400, [{0, 2399}, *nested])
    assert order is not None
    assert all(is_one_run(order, wanted) for wanted in nested[::100])


def test_natural_order_is_kept_where_it_will_do():
    assert consecutive_order(5, [{1, 2}, {2, 3, 4}]) == [0, 1, 2, 3, 4]
    assert best_order(5, [{1, 2}, {2, 3, 4}], [1, 1]).order == (0, 1, 2, 3, 4)


def test_unwanted_channels_come_last():
    best = best_order(6, [{1, 3, 5}, {1, 3}, {1, 4}], [1, 1, 1])
    assert set(best.order[-2:]) == {0, 2}


@pytest.mark.parametrize(
    ("n", "sets"), [(0, []), (3, []), (1, [{0}]), (3, [set(), {0, 1, 2}]), (0, [set()])]
)
def test_trivial_streams(n, sets):
    best = best_order(n, sets, [1] * len(sets))
    assert best.order == tuple(range(n)) == tuple(consecutive_order(n, sets) or ())
    assert best.exact


def test_baseline_misses_an_order_as_published():
    sets = [{1, 3, 5}, {1, 3}, {1, 4}]
    baseline = upscale_order(6, sets)
    assert baseline[:4] == [3, 5, 1, 4]
    assert evaluate_order(baseline, sets, [1, 1, 1]).runs == (1, 2, 1)
    assert consecutive_order(6, sets) is not None


@pytest.mark.parametrize(
    ("sets", "order"),
    [
        pytest.param([{0, 1}, {1, 2}, {2, 3}], [0, 1, 2, 3], id="path"),
        pytest.param([{3, 2}, {0, 1, 2, 3}], [2, 3, 0, 1], id="subset first"),
        pytest.param([{0}, {1, 2, 3}], [1, 2, 3, 0], id="heaviest first"),
        pytest.param([{0, 1}, {0, 1}], [0, 1, 2, 3], id="equal sets"),
    ],
)
def test_baseline_follows_paths(sets, order):
    assert upscale_order(4, sets) == order


def test_lightest_set_of_a_conflict_is_given_up():
    star = [{0, 1}, {0, 2}, {0, 3}]
    best = best_order(4, star, [5, 1, 3])
    assert best.runs == (1, 2, 1)
    assert best.bytes_copied == 2


def test_cost_of_runs_counts():
    apart = [{0, 1}, {0, 2}, {0, 3, 4, 5, 6, 7}, {3, 5}, {4, 6}, {3, 6}]
    cheap = best_order(8, apart, [1, 1, 0, 0, 0, 0], run_cost=0.001)
    assert cheap.bytes_copied == 0
    assert best_order(8, apart, [0] * 6, run_cost=1).cost <= sum(cheap.runs) - len(apart)


def test_blocks_that_cannot_all_stay_together_are_refused():
    with pytest.raises(InternalError, match="each of 3 blocks"):
        best_order(4, [{1, 3}], [1], blocks=[{0, 1}, {0, 2}, {0, 3}])


def test_many_consumers_are_searched_heuristically():
    generator = np.random.default_rng(0)
    n, count = 60, 80
    hidden = generator.permutation(n)
    sets = []
    for index in range(count):
        start, length = generator.integers(0, n - 20), generator.integers(2, 20)
        run = set(hidden[start : start + length].tolist())
        sets.append(run if index % 8 else run ^ {int(generator.integers(n))})
    weights = generator.integers(1, 9, count).tolist()
    best = best_order(n, sets, weights, effort=50_000)
    runs_served = [count == 1 for index, count in enumerate(best.runs) if index % 8]
    assert sum(runs_served) >= 0.9 * len(runs_served)
    assert best == best_order(n, sets, weights, effort=50_000)


def test_operands_order_inside_and_between():
    operands = Operands((3, 4, 2))
    sets = [
        operands.whole(1, [1, 3]),
        operands.whole(0, [0, 2]),
        [*operands.whole(0, [2]), *operands.whole(2, [0, 1])],
        [*operands.whole(2, [1]), *operands.whole(1, [3])],
    ]
    order = consecutive_order(operands.total, sets, blocks=operands.blocks)
    assert order is not None
    assert all(is_one_run(order, wanted) for wanted in sets)
    parts = operands.split(order)
    assert [index for index, _ in parts] in ([0, 2, 1], [1, 2, 0])
    flat = [c for index, inner in parts for c in operands.whole(index, inner)]
    assert flat == order


def test_torn_operands_are_noticed():
    with pytest.raises(AssertionError, match="torn apart"):
        Operands((2, 2)).split([0, 2, 1, 3])
