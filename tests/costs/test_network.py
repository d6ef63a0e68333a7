"""Whole networks: what a cut is predicted to save."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import numpy as np
import pytest

from onnxprune.analysis import analyze_model
from onnxprune.costs.network import layers_of, price_network
from onnxprune.costs.table import CostTable
from onnxprune.demo import MODEL
from onnxprune.planning.options import make_settings
from onnxprune.planning.selection import make_plan

if TYPE_CHECKING:
    from onnxprune.analysis import Analysis


def _macs(items):
    return [float(i.macs) for i in items]


@pytest.fixture
def analysis() -> Analysis:
    return analyze_model(MODEL)


def _removed(analysis: Analysis, ratio: float) -> np.ndarray:
    plan = make_plan(analysis, make_settings({"ratio": ratio}))
    return analysis.removed_labels(plan)


def test_a_table_of_macs_predicts_macs(analysis: Analysis) -> None:
    """Where time goes with multiply-accumulates, the prediction is what the analysis counts."""
    shapes = analysis.deps.settings[0]
    table = CostTable(measure=_macs)
    costs = price_network(analysis.deps.graph, shapes, table, None)
    nothing = np.zeros(len(analysis.deps.roots), bool)
    assert costs.ratio(analysis.deps, nothing) == pytest.approx(1.0)
    before = analysis.cost().macs
    for ratio in (0.25, 0.5, 0.75):
        removed = _removed(analysis, ratio)
        wanted = analysis.cost(removed).macs / before
        assert costs.ratio(analysis.deps, removed) == pytest.approx(wanted, abs=0.05)


def test_a_profile_sets_what_nodes_weigh(analysis: Analysis) -> None:
    shapes = analysis.deps.settings[0]
    table = CostTable(measure=_macs)
    layers = layers_of(analysis.deps.graph, shapes)
    profile = dict.fromkeys(layers, 10.0) | {"(ReorderInput)": 20.0}
    costs = price_network(analysis.deps.graph, shapes, table, profile)
    assert costs.rest_us == 20.0
    assert costs.total_us == pytest.approx(10.0 * len(layers) + 20.0)
    removed = _removed(analysis, 0.5)
    ratio = costs.ratio(analysis.deps, removed)
    assert 0.2 < ratio < 0.8
    costs.factor = 1.1
    assert costs.ratio(analysis.deps, removed) == pytest.approx(1.1 * ratio)
    assert costs.ratio(analysis.deps, np.zeros(len(removed), bool)) == pytest.approx(1.0)
    # It travels to the process that chooses with samples.
    assert pickle.loads(pickle.dumps(costs)).ratio(analysis.deps, removed) == pytest.approx(
        1.1 * ratio
    )


def test_a_profile_that_knows_few_layers_is_not_used(analysis: Analysis) -> None:
    shapes = analysis.deps.settings[0]
    fused = price_network(
        analysis.deps.graph, shapes, CostTable(measure=_macs), {"(Fused)": 1000.0}
    )
    assert fused.rest_us == 0.0
    assert fused.total_us > 1000.0
