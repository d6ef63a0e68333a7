"""Second moments of a site: all that scores, solutions and held-back errors need.

Rows carry a constant last feature, so that means and the bias come out of the same matrices.
Moments are kept per fold of the samples; leaving a fold out gives training moments, the fold itself
tells the error on samples that the solution has not seen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from onnxprune.recovery.sites import Site

    Array = np.ndarray

ROWS_PER_FEATURE = 30
"""More rows than so many times the features change a solution little; they are thinned out."""

_PRODUCTS = 6e9
"""Products of features that a site's moments may take before rows are thinned out."""

_ELEMENTS = 6e7
"""The same for the elements of all rows."""

_BLOCK = 512
"""Least rows of a product."""

_SMALL = 32
"""Groups with fewer features are multiplied all at once."""

_PIVOT_ROWS = 16


@dataclass(slots=True)
class Moments:
    """Sums over rows.

    Attributes:
        gram: features by features [groups, features + 1, features + 1].
        cross: features by outputs [groups, features + 1, outputs].
        energy: squared outputs [groups, outputs].
        spectra: decompositions of the features' moments, shared by moments of the same features.
    """

    gram: Array
    cross: Array
    energy: Array
    spectra: dict[bool, tuple[Array, Array]] = field(default_factory=dict, repr=False)

    @property
    def rows(self) -> float:
        """Number of rows."""
        return float(self.gram[0, -1, -1])

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.gram + other.gram, self.cross + other.cross, self.energy + other.energy)

    def include(self, other: Moments) -> Moments:
        """Add others in place."""
        self.gram += other.gram
        self.cross += other.cross
        self.energy += other.energy
        self.spectra.clear()
        return self

    def __sub__(self, other: Moments) -> Moments:
        return Moments(self.gram - other.gram, self.cross - other.cross, self.energy - other.energy)

    def part(self, features: Array) -> Moments:
        """Return the moments of some features (flags or numbers) and the constant."""
        chosen = np.append(np.arange(self.gram.shape[1] - 1)[features], self.gram.shape[1] - 1)
        return Moments(self.gram[:, chosen[:, None], chosen], self.cross[:, chosen], self.energy)

    def scaled(self, factors: Array) -> Moments:
        """Return the moments of outputs multiplied by factors [groups, outputs]."""
        return self.towards(self.cross * factors[:, None, :], self.energy * np.square(factors))

    def outputs(self, chosen: Array) -> Moments:
        """Return the moments of some outputs of a single group."""
        return self.towards(self.cross[:, :, chosen], self.energy[:, chosen])

    def towards(self, cross: Array, energy: Array) -> Moments:
        """Return the moments of the same features with other outputs."""
        return Moments(self.gram, cross, energy, self.spectra)

    def spectrum(self, *, centred: bool) -> tuple[Array, Array]:
        """Return eigenvalues and eigenvectors of the features' moments.

        Args:
            centred: whether around their means.
        """
        if centred not in self.spectra:
            gram = self.gram[:, :-1, :-1]
            if centred:
                sums = self.gram[:, :-1, -1]
                gram = gram - sums[:, :, None] * sums[:, None, :] / max(self.rows, 1.0)
            values, vectors = np.linalg.eigh(gram)
            self.spectra[centred] = np.maximum(values, 0.0), vectors
        return self.spectra[centred]


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


class Folds:
    """Moments by fold, all together, and all but one.

    Args:
        parts: moments of each fold.
    """

    def __init__(self, parts: Sequence[Moments]) -> None:
        self.parts = list(parts)
        self.whole = total(self.parts)
        self.others = [self.whole - p for p in self.parts] if len(self.parts) > 1 else []


Pair = tuple[np.ndarray, np.ndarray]


def gather(
    site: Site,
    batches: int,
    values: Callable[[int], Pair],
    folds: Sequence[int],
    importance: Callable[[int], Array | None] = lambda _: None,
) -> list[Moments]:
    """Sum up the rows of a site.

    Args:
        site: the operator.
        batches: number of batches.
        values: input and target of a batch.
        folds: fold of each batch, counted from 0.
        importance: factors on the squared errors of a batch's rows, None for ones.
    """
    first_x, first_y = values(0)
    rows = site.view.rows(first_x, first_y) * batches
    features = site.channels * site.block
    most = min(_PRODUCTS * site.groups / features**2, _ELEMENTS / features)
    enough = max(most, features // site.groups * ROWS_PER_FEATURE)
    step = site.view.step(rows / enough, first_x, first_y)
    sums = [_Sums(max(_BLOCK, features // site.groups)) for _ in range(max(folds) + 1)]
    factors = [importance(b) for b in range(batches)]
    mean = np.mean([f.mean() for f in factors if f is not None] or [1.0])
    for batch, factor in enumerate(factors):
        x, y = values(batch)
        chosen = None if factor is None else np.sqrt(factor[::step] / mean).astype(np.float32)
        at = 0
        for left, right in site.view.blocks(x, y, step):
            count = left.shape[1]
            roots = np.ones(count, np.float32) if chosen is None else chosen[at : at + count]
            sums[folds[batch]].add(left, right, roots)
            at += count
    return [m for s in sums if (m := s.total()) is not None]


class _Sums:
    """Sums of a fold; rows wait until there are enough for a product that is worth its overhead."""

    def __init__(self, enough: int) -> None:
        self._enough, self._count = enough, 0
        self._waiting: list[tuple[Array, Array, Array]] = []
        self._found: Moments | None = None

    def add(self, left: Array, right: Array, roots: Array) -> None:
        """Take a block of rows, and what they are multiplied with."""
        self._waiting.append((left, right, roots))
        self._count += left.shape[1]
        if self._count >= self._enough:
            self._flush()

    def total(self) -> Moments | None:
        """Return the sums over all rows, None for no rows."""
        if self._waiting:
            self._flush()
        return self._found

    def _flush(self) -> None:
        lefts, rights, roots = zip(*self._waiting, strict=True)
        left, right = (np.concatenate(parts, axis=1) for parts in (lefts, rights))
        made = _sums(left, right, np.concatenate(roots))
        self._found = made if self._found is None else self._found.include(made)
        self._waiting, self._count = [], 0


def _sums(left: Array, right: Array, roots: Array) -> Moments:
    """Return the sums over a block of rows.

    Products are made in single precision around some value near the mean, so that nothing is lost
    to large means, and moved back in double precision.
    """
    x, pivot_x = _around(left, roots, constant=True)
    y, pivot_y = _around(right, roots, constant=False)
    groups, _, features = x.shape
    gram = np.empty((groups, features, features))
    cross = np.empty((groups, features, y.shape[2]))
    if features < _SMALL:
        turned = x.transpose(0, 2, 1)
        gram[:], cross[:] = turned @ x, turned @ y
    else:  # a product of a matrix with itself takes half the time, but only on its own
        for g in range(groups):
            gram[g], cross[g] = x[g].T @ x[g], x[g].T @ y[g]
    sums_y = cross[:, -1].copy()
    energy = np.einsum("gro,gro->go", y, y) + (2 * sums_y + gram[:, -1:, -1] * pivot_y) * pivot_y
    cross += gram[:, :, -1:] * pivot_y[:, None, :]
    cross[:, :-1] += pivot_x[:, :, None] * cross[:, -1:]
    gram[:, :-1] += pivot_x[:, :, None] * gram[:, -1:]
    gram[:, :, :-1] += pivot_x[:, None, :] * gram[:, :, -1:]
    return Moments(gram, cross, energy)


def _around(rows: Array, roots: Array, *, constant: bool) -> tuple[Array, Array]:
    """Return rows less some value near their mean, with a last feature of one, and that value."""
    some = slice(None, None, max(1, rows.shape[1] // _PIVOT_ROWS))
    pivot = np.average(rows[:, some], axis=1, weights=np.square(roots[some])).astype(np.float32)
    moved = np.ones((*rows.shape[:2], rows.shape[2] + constant), np.float32)
    np.subtract(rows, pivot[:, None, :], out=moved[:, :, : rows.shape[2]])
    moved *= roots[:, None]
    return moved, pivot.astype(np.float64)
