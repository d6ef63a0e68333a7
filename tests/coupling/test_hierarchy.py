"""Laws of what leaves with what."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from onnxprune.core.hierarchy import Hierarchy

COUNT = 12
PAIRS = st.lists(st.tuples(st.integers(1, COUNT - 1), st.integers(1, COUNT - 1)), max_size=30)


def hierarchy(pairs: list[tuple[int, int]], own: list[int]) -> Hierarchy:
    """Make one from pairs of numbers, the smaller above; `own` are read by others as well."""
    array = np.array(sorted({(min(p), max(p)) for p in pairs if p[0] != p[1]}), np.int64)
    above, below = array.reshape(-1, 2).T
    follows = np.zeros(COUNT, bool)
    follows[above] = True
    follows[own] = False
    return Hierarchy(above, below, follows, np.zeros(COUNT, bool))


@given(PAIRS, st.sets(st.integers(1, COUNT - 1)), st.lists(st.integers(1, COUNT - 1), max_size=4))
def test_what_is_closed(pairs: list[tuple[int, int]], chosen: set[int], own: list[int]) -> None:
    tree = hierarchy(pairs, own)
    flags = np.zeros(COUNT, bool)
    flags[list(chosen)] = True
    closed = tree.closed(flags)
    assert not (flags & ~closed).any()
    assert not (closed[tree.above] & ~closed[tree.below]).any()
    np.testing.assert_array_equal(tree.closed(closed), closed)
    for number in np.flatnonzero(tree.follows):
        below = tree.below[tree.above == number]
        assert closed[number] == bool(closed[below].all()) or flags[number]


@given(PAIRS, st.sets(st.integers(1, COUNT - 1)), st.sets(st.integers(1, COUNT - 1)))
def test_more_takes_more(pairs: list[tuple[int, int]], first: set[int], more: set[int]) -> None:
    tree = hierarchy(pairs, [])
    less, all_ = np.zeros(COUNT, bool), np.zeros(COUNT, bool)
    less[list(first)] = True
    all_[list(first | more)] = True
    assert not (tree.closed(less) & ~tree.closed(all_)).any()
