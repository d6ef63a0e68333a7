"""Solve a site's least-squares problem with the ridge that held-back samples prefer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.recovery.moments import variance
from onnxprune.recovery.registry import NONE, RECOVERIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnxprune.recovery.moments import Folds, Moments

    Array = np.ndarray

RIDGES = tuple(float(r) for r in np.logspace(-5, 1, 13))
"""Ridges to try, relative to the mean variance of the features."""

_SKETCH = 48
"""Outputs are combined at random to at most so many while a ridge is chosen."""


@dataclass(frozen=True, slots=True)
class Solution:
    """New weights of a site.

    Attributes:
        weight: [groups, features, outputs].
        bias: [groups, outputs].
        method: name of the recovery.
        ridge: its strength.
        error: held-back error, relative to the variance of the target.
        before: the same for the weights as they were.
    """

    weight: Array
    bias: Array
    method: str
    ridge: float
    error: float
    before: float


class Problem:
    """Moments with the constant taken out, ready for many ridges.

    Args:
        moments: moments to fit on.
        weight: weights to stay close to.
        bias: the bias there is.
        free: whether the bias may change.
    """

    def __init__(self, moments: Moments, weight: Array, bias: Array, *, free: bool) -> None:
        count = max(moments.rows, 1.0)
        gram, cross = moments.gram[:, :-1, :-1], moments.cross[:, :-1]
        self._weight, self._bias, self._free = weight, bias, free
        self._mean_x = moments.gram[:, :-1, -1] / count
        self._mean_y = moments.cross[:, -1] / count
        if free:
            gram = gram - count * self._mean_x[:, :, None] * self._mean_x[:, None, :]
            cross = cross - count * self._mean_x[:, :, None] * self._mean_y[:, None, :]
        else:
            cross = cross - moments.gram[:, :-1, -1:] * bias[:, None, :]
        self._values, self._vectors = moments.spectrum(centred=free)
        self.scale = self._values.mean(axis=1) + 1e-30
        self._missing = self._vectors.transpose(0, 2, 1) @ (cross - gram @ weight)
        self._count = count

    def at(self, ridge: float, shift: Array | None = None) -> tuple[Array, Array]:
        """Return weight and bias for a ridge.

        Args:
            ridge: the ridge, relative to the mean variance of the features.
            shift: what is added to the cross moments [groups, features + 1, outputs].
        """
        missing, mean_y = self._missing, self._mean_y
        if shift is not None:
            mean_y = mean_y + shift[:, -1] / self._count
            cross = shift[:, :-1]
            if self._free:
                cross = cross - self._mean_x[:, :, None] * shift[:, -1:]
            missing = missing + self._vectors.transpose(0, 2, 1) @ cross
        damp = self._values + ridge * self.scale[:, None]
        weight = self._weight + self._vectors @ (missing / damp[:, :, None])
        if not self._free:
            return weight, self._bias
        return weight, mean_y - np.einsum("gf,gfo->go", self._mean_x, weight)


def squared_error(moments: Moments, weight: Array, bias: Array) -> float:
    """Return the summed squared error of a weight on the rows of some moments."""
    full = np.concatenate([weight, bias[:, None, :]], axis=1)
    fitted = moments.gram @ full
    return float(moments.energy.sum() + ((fitted - 2 * moments.cross) * full).sum())


def refit(
    folds: Folds,
    weight: Array,
    bias: Array,
    *,
    free: bool,
    methods: Sequence[str] = ("none", "bias", "least-squares"),
) -> Solution:
    """Choose among ways to repair a weight by the error on held-back samples, then use all samples.

    Args:
        folds: moments of the kept features by fold.
        weight: kept weights as they were [groups, features, outputs].
        bias: bias as it was [groups, outputs].
        free: whether the bias may change.
        methods: names of recoveries to choose among, `none` first.
    """
    if not folds.others:  # nothing can be held back
        return _unchecked(folds.whole, weight, bias, free=free, methods=methods)
    tried = [(m, s) for m in methods for s in RECOVERIES[m].strengths]
    linear = all(RECOVERIES[m].linear for m in methods)
    if linear and weight.shape[2] > _SKETCH and len(weight) == 1:
        errors = _held_back(*_sketch(folds, weight, bias), tried, free=free)
        tried = [(NONE, 0.0), min(errors, key=lambda name: errors[name])]
    errors = _held_back(folds.parts, folds.others, weight, bias, tried, free=free)
    method, strength = min(errors, key=lambda name: errors[name])
    scale = variance(folds.whole)
    fit = RECOVERIES[method].prepare(folds.whole, weight, bias, free=free)
    error, before = errors[method, strength] / scale, errors[NONE, 0.0] / scale
    return Solution(*fit(strength), method, strength, error, before)


def _held_back(
    held: Sequence[Moments],
    others: Sequence[Moments],
    weight: Array,
    bias: Array,
    tried: Sequence[tuple[str, float]],
    *,
    free: bool,
) -> dict[tuple[str, float], float]:
    """Return the error of recoveries on each fold, fitted to the other folds, summed up."""
    errors = dict.fromkeys(tried, 0.0)
    for fold, rest in zip(held, others, strict=True):
        fits = {
            m: RECOVERIES[m].prepare(rest, weight, bias, free=free)
            for m in dict.fromkeys(m for m, _ in tried)
        }
        for method, strength in errors:
            errors[method, strength] += squared_error(fold, *fits[method](strength))
    return errors


def _unchecked(
    everything: Moments, weight: Array, bias: Array, *, free: bool, methods: Sequence[str]
) -> Solution:
    scale = variance(everything)
    before = squared_error(everything, weight, bias) / scale
    new = RECOVERIES[methods[-1]].prepare(everything, weight, bias, free=free)(None)
    error = squared_error(everything, *new) / scale
    if error >= before:
        return Solution(weight, bias, NONE, 0.0, before, before)
    return Solution(*new, methods[-1], 0.0, error, before)


def _sketch(
    folds: Folds, weight: Array, bias: Array
) -> tuple[list[Moments], list[Moments], Array, Array]:
    """Combine many outputs to few: squared errors keep their expectation."""
    outputs = weight.shape[2]
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (outputs, _SKETCH)) / np.sqrt(_SKETCH)

    def combined(moments: Moments) -> Moments:
        # the energy of a combination needs products of outputs; only differences matter for a
        # choice, so the sum of the original energies stands in for it
        energy = moments.energy.sum(axis=1, keepdims=True) / _SKETCH
        return moments.towards(moments.cross @ signs, np.repeat(energy, _SKETCH, 1))

    held, others = ([combined(m) for m in part] for part in (folds.parts, folds.others))
    return held, others, weight @ signs, bias @ signs
