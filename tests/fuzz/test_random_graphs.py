"""Prune random graphs: every one is exact, has nothing to prune, or is refused with a reason."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from onnxprune.testing.fuzz import check_seed

if TYPE_CHECKING:
    from pathlib import Path

BATCH = 40
"""Seeds of one test."""


def check_batch(
    first: int, count: int, directory: Path, coupling: str = "constrained"
) -> Counter[str]:
    """Check some seeds and count the outcomes."""
    outcomes: Counter[str] = Counter()
    for seed in range(first, first + count):
        outcomes[check_seed(seed, directory, coupling)] += 1
        for file in directory.iterdir():
            file.unlink()
    return outcomes


@pytest.mark.parametrize("first", range(0, 240, BATCH))
def test_pruned_random_graphs_equal_their_masked_originals(first: int, tmp_path: Path) -> None:
    outcomes = check_batch(first, BATCH, tmp_path)
    assert outcomes["exact"] > BATCH // 2
    assert not outcomes["refused"]


@pytest.mark.parametrize("first", [50, 90])
def test_consumers_may_drop_channels_of_their_own(first: int, tmp_path: Path) -> None:
    outcomes = check_batch(first, 20, tmp_path, "unconstrained")
    assert outcomes["exact"] > 10
    assert not outcomes["refused"]


@pytest.mark.slow
@pytest.mark.parametrize("first", range(20_000, 20_700, 100))
def test_many_random_graphs(first: int, tmp_path: Path) -> None:
    outcomes = check_batch(first, 100, tmp_path)
    outcomes += check_batch(first, 20, tmp_path, "unconstrained")
    assert outcomes["exact"] > 60
    assert not outcomes["refused"]


@pytest.mark.parametrize("seed", [399, 402])
def test_giving_back_comes_to_an_end(seed: int, tmp_path: Path) -> None:
    """An axis that is emptied because everybody who reads it dropped it."""
    assert check_seed(seed, tmp_path, "unconstrained") == "exact"


def test_a_body_that_reads_a_stream_with_a_computed_weight(tmp_path: Path) -> None:
    """It cannot be given zeros, so nothing that it reads may stay once it has left."""
    assert check_seed(7_243, tmp_path, "unconstrained") == "exact"


def test_a_computed_weight_whose_inputs_are_its_outputs(tmp_path: Path) -> None:
    """It cannot be given zeros, so its consumer's input channels leave everywhere or nowhere."""
    assert check_seed(20_702, tmp_path, "unconstrained") == "exact"
