"""Second moments of a site: all that scores, solutions and held-back errors need.

Rows carry a constant last feature, so that means and the bias come out of the same matrices.
Moments are kept per fold of the samples; leaving a fold out gives training moments, the fold itself
tells the error on samples that the solution has not seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from onnxprune.recovery.sites import Site

    Array = np.ndarray

ROWS_PER_FEATURE = 30
"""More rows than so many times the features change a solution little; they are thinned out."""

_FLOPS = 6e9
"""Multiply-accumulates that the moments of one site may take before rows are thinned out."""


@dataclass(slots=True)
class Moments:
    """Sums over rows.

    Attributes:
        gram: features by features [groups, features + 1, features + 1].
        cross: features by outputs [groups, features + 1, outputs].
        energy: squared outputs [groups, outputs].
    """

    gram: Array
    cross: Array
    energy: Array

    @property
    def rows(self) -> float:
        """Number of rows."""
        return float(self.gram[0, -1, -1])

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.gram + other.gram, self.cross + other.cross, self.energy + other.energy)

    def __sub__(self, other: Moments) -> Moments:
        return Moments(self.gram - other.gram, self.cross - other.cross, self.energy - other.energy)

    def part(self, features: Array) -> Moments:
        """Return the moments of some features (flags or numbers) and the constant."""
        chosen = np.append(np.arange(self.gram.shape[1] - 1)[features], self.gram.shape[1] - 1)
        return Moments(self.gram[:, chosen[:, None], chosen], self.cross[:, chosen], self.energy)

    def scaled(self, factors: Array) -> Moments:
        """Return the moments of outputs multiplied by factors [groups, outputs]."""
        return Moments(
            self.gram, self.cross * factors[:, None, :], self.energy * np.square(factors)
        )

    def outputs(self, chosen: Array) -> Moments:
        """Return the moments of some outputs of a single group."""
        return Moments(self.gram, self.cross[:, :, chosen], self.energy[:, chosen])


def total(folds: Sequence[Moments]) -> Moments:
    """Return the sum over all folds."""
    result = folds[0]
    for fold in folds[1:]:
        result = result + fold
    return result


def variance(moments: Moments) -> float:
    """Return the summed squared deviation of the target from its mean."""
    mean = moments.cross[:, -1] / max(moments.rows, 1.0)
    return float((moments.energy - moments.rows * np.square(mean)).sum()) + 1e-30


Pair = tuple[np.ndarray, np.ndarray]


def gather(site: Site, batches: int, values: Callable[[int], Pair], folds: int) -> list[Moments]:
    """Sum up the rows of a site.

    Args:
        site: the operator.
        batches: number of batches.
        values: input and target of a batch.
        folds: number of folds; batch b belongs to fold b modulo this.
    """
    found: list[Moments | None] = [None] * folds
    first_x, first_y = values(0)
    rows = site.view.rows(first_x, first_y) * batches
    groups = site.groups
    features = site.channels * site.block // groups
    most = max(_FLOPS / (groups * features**2), features * ROWS_PER_FEATURE)
    step = max(1, int(rows / most))
    for batch in range(batches):
        x, y = values(batch)
        for left, right in site.view.blocks(x, y, step):
            made = _sums(left, right)
            before = found[batch % folds]
            found[batch % folds] = made if before is None else before + made
    return [f for f in found if f is not None]


def _sums(left: Array, right: Array) -> Moments:
    ones = np.ones((*left.shape[:2], 1))
    rows = np.concatenate([left, ones], axis=2).astype(np.float64, copy=False)
    targets = right.astype(np.float64)
    turned = rows.transpose(0, 2, 1)
    return Moments(turned @ rows, turned @ targets, np.square(targets).sum(axis=1))
