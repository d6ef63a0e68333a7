"""Samples that resemble each other are held back together."""

from __future__ import annotations

import numpy as np
import pytest

from onnxprune.recovery.folds import FOLDS, assign, relatives


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_copies_are_relatives_and_strangers_are_not(rng):
    families = np.arange(40) % 10
    rows = rng.normal(size=(10, 300))[families] + 0.3 * rng.normal(size=(40, 300))
    found = relatives(rows)
    assert len(set(found)) == 10
    for family in range(10):
        assert len(set(found[families == family])) == 1


def test_constant_descriptions_count_for_nothing(rng):
    rows = rng.normal(size=(8, 50))
    tiny = 1e-41 * (np.arange(8)[:, None] > 6)
    infinite = np.where(np.arange(8) > 6, np.inf, 1.0)[:, None]
    rounding = 3.0 + 1e-9 * rng.normal(size=(8, 5))
    wider = np.concatenate([rows, np.full((8, 5), 3.0), rounding, infinite], axis=1)
    np.testing.assert_array_equal(relatives(rows), relatives(wider))
    assert len(relatives(np.concatenate([rows, tiny], axis=1))) == 8


@pytest.mark.parametrize(
    ("groups", "sizes"),
    [
        ([0] * 8 + [1, 2, 3, 4, 5, 6], [8, 2, 2, 2]),
        (list(range(8)), [2, 2, 2, 2]),
        ([5, 5, 5, 5, 5], [2, 1, 1, 1]),
        ([0, 1], [1, 1]),
        ([0], [1]),
    ],
)
def test_folds_are_balanced_and_keep_relatives_together(groups, sizes):
    folds = assign(np.array(groups))
    assert sorted(np.bincount(folds).tolist(), reverse=True) == sizes
    if len(set(groups)) >= FOLDS:
        assert all(len(set(folds[np.array(groups) == g])) == 1 for g in groups)
