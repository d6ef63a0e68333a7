"""Every recovery: known answers, and never worse than doing nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxprune.errors import InvalidConfigError, PluginError
from onnxprune.recovery import RECOVERIES, recovery
from onnxprune.recovery.moments import Folds, Moments, total
from onnxprune.recovery.solve import refit, squared_error


def moments(x: np.ndarray, y: np.ndarray) -> Moments:
    rows = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    return Moments((rows.T @ rows)[None], (rows.T @ y)[None], np.square(y).sum(axis=0)[None])


def fitted(name, x, weight, bias, y, *, free=True):
    fit = RECOVERIES[name].prepare(moments(x, y), weight[None], bias[None], free=free)
    new, shift = fit(0.0)
    return new[0], shift[0]


X = np.array([[0.0, 1.0], [2.0, 1.0], [4.0, 3.0], [2.0, 3.0]])
WEIGHT, BIAS = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0.5, 0.5])


@pytest.mark.parametrize(
    ("name", "target", "weight", "bias"),
    [
        ("none", 3 * X + 1, [1, 1], [0.5, 0.5]),
        ("bias", 3 * X + 1, [1, 1], [5, 5]),
        ("moments", 1.5 * X + 1, [1.5, 1.5], [1, 1]),
        ("moments", 3 * X + 1, [2, 2], [3, 3]),  # the factor is bounded
        ("moments", 0.1 * X, [0.5, 0.5], [-0.8, -0.8]),
        ("moments", -1.5 * X, [1.5, 1.5], [-6, -6]),  # signs are not turned
        ("moments", X * [1.5, 0] + 4, [1.5, 1], [4, 2]),  # a constant is not scaled
        ("least-squares", 3 * X + 1, [3, 3], [1, 1]),
    ],
)
def test_known_answers(name, target, weight, bias):
    new, shift = fitted(name, X, WEIGHT, BIAS, target)
    np.testing.assert_allclose(np.diag(new), weight, atol=1e-9)
    np.testing.assert_allclose(shift, bias, atol=1e-9)


@pytest.mark.parametrize("name", ["none", "bias", "moments", "least-squares"])
def test_a_bias_that_has_no_place_stays(name):
    _, shift = fitted(name, X, WEIGHT, BIAS, 3 * X + 1, free=False)
    np.testing.assert_array_equal(shift, BIAS)


@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(RECOVERIES)), st.integers(1, 3))
def test_no_recovery_makes_the_held_back_error_worse(seed, name, folds):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(30, 4)) @ rng.normal(size=(4, 4)) + rng.normal(size=4)
    weight, bias = rng.normal(size=(1, 4, 3)), rng.normal(size=(1, 3))
    y = x @ weight[0] + bias[0] + rng.normal() * rng.normal(size=(30, 3))
    parts = [moments(x[i::folds], y[i::folds]) for i in range(folds)]
    found = refit(Folds(parts), weight, bias, free=True, methods=RECOVERIES[name].methods)
    assert found.error <= found.before
    if folds == 1:
        everything = total(parts)
        assert squared_error(everything, found.weight, found.bias) <= squared_error(
            everything, weight, bias
        ) * (1 + 1e-9)


def test_matched_moments_follow_the_scale_of_an_output():
    new, _ = fitted("moments", X, WEIGHT, BIAS, 1.5 * X)
    scaled, _ = fitted("moments", X, WEIGHT * 7, BIAS * 7, 1.5 * X * 7)
    np.testing.assert_allclose(scaled, new * 7)


def test_names():
    assert {"none", "bias", "moments", "least-squares"} <= set(RECOVERIES)
    assert RECOVERIES.find("least-squares").methods == ("none", "bias", "least-squares")
    with pytest.raises(InvalidConfigError, match="no recovery 'magic'") as error:
        RECOVERIES.find("magic")
    assert "moments" in (error.value.hint or "")
    with pytest.raises(PluginError, match="registered by"):
        recovery("bias")(RECOVERIES["bias"].prepare)
