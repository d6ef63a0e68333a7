"""Predicted times: whatever was asked before, and what padding makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from onnxprune.analysis import analyze_model
from onnxprune.analysis.expansion import expand
from onnxprune.core.symmetry import find_streams
from onnxprune.costs import DefaultCosts
from onnxprune.planning.latency import LatencyModel
from onnxprune.planning.layouts import make_layout
from onnxprune.planning.options import make_settings
from onnxprune.planning.padding import Padding
from onnxprune.planning.selection import make_plan

if TYPE_CHECKING:
    from pathlib import Path

    from onnxprune.analysis import Analysis

DEAR = DefaultCosts(copied_per_us=10.0, block=4, unit=2)
CHEAP = DefaultCosts(copied_per_us=1e9, call_us=1e-3, block=1, unit=1)


def removed(analysis: Analysis, seed: int = 0, ratio: float = 0.5) -> np.ndarray:
    settings = make_settings({"ratio": ratio, "criterion": "random", "seed": seed})
    return analysis.removed_labels(make_plan(analysis, settings))


@pytest.mark.parametrize("costs", [DefaultCosts(), DEAR, CHEAP], ids=["default", "dear", "cheap"])
def test_times_do_not_depend_on_what_was_asked_before(net: Path, costs: DefaultCosts) -> None:
    free = expand(analyze_model(net))
    model = LatencyModel(free.deps, costs)
    whole = model.total(np.zeros(len(free.deps.roots), bool))
    for seed in range(4):
        cut = removed(free, seed, 0.3)
        anew = LatencyModel(free.deps, costs)
        assert model.total(cut) == pytest.approx(anew.total(cut))
        saved = [*anew.joins(cut).values(), *anew.apart(cut).values()]
        assert model.least(cut) == pytest.approx(anew.total(cut) - sum(saved))
    assert model.total(np.zeros(len(free.deps.roots), bool)) == whole


@pytest.mark.parametrize("costs", [DefaultCosts(), DEAR, CHEAP], ids=["default", "dear", "cheap"])
@pytest.mark.parametrize("seed", range(3))
def test_no_move_is_left_that_saves_time(net: Path, costs: DefaultCosts, seed: int) -> None:
    free = expand(analyze_model(net))
    model, cut = LatencyModel(free.deps, costs), removed(free, seed)
    padding = Padding(free.deps, model, cut)
    chosen = padding.cheapest(find_streams(free.deps))
    best = model.least(chosen)
    assert best <= model.least(cut)
    assert not (chosen & ~cut).any()
    for copies in range(len(model.copies(chosen))):
        fewer = padding.at_most(chosen, copies, model.apart)
        made = [edges for (value, _), edges in model.copies(fewer).items()
                if value not in model.apart(fewer)]  # fmt: skip
        assert len(made) <= copies
        assert model.least(fewer) > best * (1 - 1e-3)


def test_what_is_laid_out_is_what_was_predicted(net: Path) -> None:
    free = expand(analyze_model(net))
    cut = removed(free)
    for costs in (DefaultCosts(), DEAR, CHEAP):
        model = LatencyModel(free.deps, costs)
        layout = make_layout(free.deps, cut, costs=costs)
        assert model.of(layout) <= model.least(cut) * (1 + 1e-9)
