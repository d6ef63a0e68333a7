"""Moments, ridges and greedy removal on problems with known answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxprune.recovery.clipped import Clip
from onnxprune.recovery.greedy import View, greedy_order, make_view
from onnxprune.recovery.moments import Folds, Moments, total
from onnxprune.recovery.registry import RECOVERIES
from onnxprune.recovery.solve import refit


def moments(x: np.ndarray, y: np.ndarray) -> Moments:
    rows = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    return Moments((rows.T @ rows)[None], (rows.T @ y)[None], np.square(y).sum(axis=0)[None])


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_refit_recovers_a_linear_map_and_its_bias(rng):
    x = rng.normal(size=(400, 6)) + 1
    weight, bias = rng.normal(size=(6, 3)), rng.normal(size=3)
    y = x @ weight + bias
    folds = [moments(x[i::4], y[i::4]) for i in range(4)]
    found = refit(Folds(folds), np.zeros((1, 6, 3)), np.zeros((1, 3)), free=True)
    assert found.method == "least-squares"
    assert found.error < 1e-6 < found.before
    np.testing.assert_allclose(found.weight[0], weight, atol=1e-3)
    np.testing.assert_allclose(found.bias[0], bias, atol=1e-3)


def test_refit_keeps_weights_that_fit(rng):
    x = rng.normal(size=(40, 30))
    weight = rng.normal(size=(30, 2))
    y = x @ weight + rng.normal(size=(40, 2))
    folds = [moments(x[i::4], y[i::4]) for i in range(4)]
    found = refit(Folds(folds), weight[None], np.zeros((1, 2)), free=True)
    assert found.error <= found.before


def test_refit_without_a_place_for_a_bias_leaves_it(rng):
    x = rng.normal(size=(200, 4)) + 2
    y = x @ rng.normal(size=(4, 2)) + 5
    folds = [moments(x[i::2], y[i::2]) for i in range(2)]
    found = refit(Folds(folds), np.zeros((1, 4, 2)), np.full((1, 2), 0.5), free=False)
    np.testing.assert_array_equal(found.bias, np.full((1, 2), 0.5))


@pytest.mark.parametrize("methods", [("none",), ("none", "bias")])
def test_methods_limit_what_is_done(rng, methods):
    x = rng.normal(size=(100, 4)) + 1
    folds = [moments(x[i::2], x[i::2] @ np.ones((4, 2))) for i in range(2)]
    found = refit(Folds(folds), np.zeros((1, 4, 2)), np.zeros((1, 2)), free=True, methods=methods)
    assert found.method == methods[-1]
    np.testing.assert_array_equal(found.weight, 0)


def brute_force(x: np.ndarray, y: np.ndarray, kept: list[int]) -> float:
    rows = np.concatenate([x[:, kept], np.ones((len(x), 1))], axis=1)
    return float(np.square(y - rows @ np.linalg.lstsq(rows, y, rcond=None)[0]).sum()) / len(x)


@pytest.mark.parametrize("block", [1, 3])
def test_greedy_takes_what_costs_least_at_every_step(rng, block):
    atoms, n = 5, 3000
    x = rng.normal(size=(n, atoms * block)) @ rng.normal(size=(atoms * block,) * 2)
    weight = rng.normal(size=(atoms * block, 4))
    y = x @ weight
    features = [np.arange(a * block, (a + 1) * block) for a in range(atoms)]
    view = make_view(moments(x, y), weight, features, ridge=0.0, refit=False)
    order = greedy_order([view], atoms, atoms - 1)
    left = list(range(atoms))
    before = 0.0
    for atom, loss in zip(order.atoms[: atoms - 1], order.losses, strict=False):
        errors = {
            a: brute_force(x, y, [f for b in left if b != a for f in features[b]]) for a in left
        }
        assert atom == min(errors, key=errors.get)
        assert loss == pytest.approx(errors[atom] - before, rel=1e-6, abs=1e-9)
        before = errors[atom]
        left.remove(atom)


def test_greedy_adds_up_consumers():
    def view(weights: list[float]) -> View:
        return View(np.eye(3), np.array(weights)[:, None], [np.array([i]) for i in range(3)])

    order = greedy_order([view([1.0, 2.0, 3.0]), view([3.0, 1.0, 0.0])], 3, 2)
    assert order.atoms.tolist() == [1, 2, 0]


def test_parts_and_sums_of_moments(rng):
    x, y = rng.normal(size=(20, 3)), rng.normal(size=(20, 2))
    whole = total([moments(x[:5], y[:5]), moments(x[5:], y[5:])])
    part = whole.part(np.array([True, False, True])).outputs(np.array([1]))
    wanted = moments(x[:, [0, 2]], y[:, [1]])
    np.testing.assert_allclose(part.gram, wanted.gram)
    np.testing.assert_allclose(part.cross, wanted.cross)
    np.testing.assert_allclose(part.energy, wanted.energy)
    np.testing.assert_allclose((whole - moments(x[:5], y[:5])).gram, moments(x[5:], y[5:]).gram)


def test_clipping_hides_what_lies_beyond_its_bounds():
    clip = Clip(0.0, 6.0)
    wanted = np.array([-2.0, -2.0, 3.0, 8.0, 8.0])
    got = np.array([-5.0, 1.0, 2.0, 9.0, 4.0])
    moved = wanted + clip.excess(wanted, got)
    np.testing.assert_array_equal(moved, [-5.0, 0.0, 3.0, 9.0, 6.0])
    assert clip.loss(wanted, got) == 1 + 1 + 4


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    rows=st.integers(4, 60),
    features=st.integers(1, 12),
    outputs=st.sampled_from([1, 3, 60]),
    noise=st.sampled_from([0.0, 1.0, 30.0]),
    recovery=st.sampled_from(sorted(RECOVERIES)),
)
def test_no_recovery_is_worse_than_none_on_held_back_samples(
    seed, rows, features, outputs, noise, recovery
):
    rng = np.random.default_rng(seed)
    x, weight = rng.normal(size=(rows, features)) + 1, rng.normal(size=(features, outputs))
    y = x @ weight + noise * rng.normal(size=(rows, outputs))
    folds = Folds([moments(x[i::4], y[i::4]) for i in range(4)])
    bias = np.zeros((1, outputs))
    found = refit(folds, weight[None], bias, free=True, methods=RECOVERIES[recovery].methods)
    assert found.error <= found.before
