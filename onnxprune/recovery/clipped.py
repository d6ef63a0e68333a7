"""Refit in front of an activation that clips: what it hides need not be matched.

Where the original is below zero in front of a ReLU, every negative value is as good. The target
there follows the fit, and fit and target take turns. How often is decided on held-back samples.
Zhang et al., Accelerating Very Deep Convolutional Networks for Classification and Detection (arXiv
1505.06798), reconstruct in front of a ReLU in this way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.recovery.solve import Problem, Solution

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from onnxprune.recovery.moments import Folds

    Array = np.ndarray

TURNS = 6
"""Turns to try at most."""

STRONGER = (1.0, 4.0)
"""Factors on the ridge to try: targets that follow the fit make it freer than it looks."""


@dataclass(slots=True)
class Samples:
    """Rows of a site in single precision.

    Attributes:
        rows: [groups, rows, features + 1], the last feature is one.
        target: what the activation should get [groups, rows, outputs].
        offset: what is added to the site's scaled output on the way there.
        fold: fold of each row.
    """

    rows: Array
    target: Array
    offset: Array
    fold: NDArray[np.int64]

    def only(self, chosen: NDArray[np.bool_]) -> Samples:
        """Return some of the rows."""
        return Samples(
            self.rows[:, chosen], self.target[:, chosen], self.offset[:, chosen], self.fold[chosen]
        )


@dataclass(frozen=True, slots=True)
class Clip:
    """Bounds of a clipping activation."""

    low: float
    high: float

    def loss(self, wanted: Array, got: Array) -> float:
        """Return the squared error behind the activation."""
        a, b = (np.clip(v, self.low, self.high) for v in (wanted, got))
        return float(np.square(a - b, dtype=np.float64).sum())

    def excess(self, wanted: Array, got: Array) -> Array:
        """Return by how much the target may move towards the fit without being seen."""
        moved = np.zeros_like(wanted)
        if np.isfinite(self.low):
            hidden = wanted <= self.low
            moved[hidden] = np.minimum(got[hidden], self.low) - wanted[hidden]
        if np.isfinite(self.high):
            hidden = wanted >= self.high
            moved[hidden] = np.maximum(got[hidden], self.high) - wanted[hidden]
        return moved


def refit_clipped(
    start: Solution,
    folds: Folds,
    samples: Samples,
    clip: Clip,
    weight: Array,
    bias: Array,
    *,
    free: bool,
) -> Solution:
    """Improve a least-squares solution by forgiving what the activation hides.

    Args:
        start: the solution of the plain problem.
        folds: its moments, outputs scaled as in the samples.
        samples: rows to iterate on.
        clip: the activation.
        weight: weights to stay close to.
        bias: bias as it was.
        free: whether the bias may change.

    Returns:
        The better of both on held-back samples.
    """
    whole = folds.whole
    held = samples.only(samples.fold == 0)
    train = samples.only(samples.fold != 0)
    if not len(held.fold) or not len(train.fold):
        return start
    part = Problem(folds.others[0], weight, bias, free=free)
    best, turns, ridge = np.inf, 0, start.ridge
    for factor in STRONGER:
        strength = start.ridge * factor

        def judge(turn: int, solution: tuple[Array, Array], strength: float = strength) -> bool:
            nonlocal best, turns, ridge
            loss = clip.loss(held.target, _fit(held, *solution))
            if loss < best * (1 - 1e-3):
                best, turns, ridge = loss, turn, strength
                return True
            return turn < 2

        rows = folds.others[0].rows
        _iterate(part, train, clip, strength, TURNS, rows / len(train.fold), judge=judge)
    if turns == 0 and ridge == start.ridge:
        return start
    everything = Problem(whole, weight, bias, free=free)
    scale = whole.rows / len(samples.fold)
    final = _iterate(everything, samples, clip, ridge, turns, scale, judge=lambda *_: True)
    return replace(start, weight=final[0], bias=final[1], ridge=ridge)


def _fit(samples: Samples, weight: Array, bias: Array) -> Array:
    full = np.concatenate([weight, bias[:, None, :]], axis=1).astype(np.float32)
    return np.asarray(samples.rows @ full + samples.offset)


def _iterate(
    problem: Problem,
    samples: Samples,
    clip: Clip,
    ridge: float,
    turns: int,
    scale: float,
    *,
    judge: Callable[[int, tuple[Array, Array]], bool],
) -> tuple[Array, Array]:
    solution = problem.at(ridge)
    judge(0, solution)
    turned = samples.rows.transpose(0, 2, 1)
    for turn in range(1, turns + 1):
        moved = clip.excess(samples.target, _fit(samples, *solution))
        shift = (turned @ moved).astype(np.float64) * scale
        solution = problem.at(ridge, shift)
        if not judge(turn, solution):
            break
    return solution
