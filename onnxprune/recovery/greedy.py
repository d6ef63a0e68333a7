"""Order the atoms of a group by what their removal costs all consumers together.

Optimal brain surgeon with exact downdates: an atom's cost is the rise of the least-squares error of
every consumer when its features leave and all remaining weights are refitted; after each removal
inverse moments and weights are brought up to date.

Hassibi and Stork, Second order derivatives for network pruning (NIPS 1992), for the surgeon; in
blocks, with the objective `tr(W_j^T ([G^-1]_jj)^-1 W_j) / 2` and the joint update of several at a
time, Meng et al., OSSCAR (arXiv 2403.12983). Adding up the consumers of a group is our own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import linalg

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from onnxprune.recovery.moments import Moments

    Array = np.ndarray

BATCHES = 200
"""Removals that a group of any size is taken apart in."""


@dataclass(slots=True)
class View:
    """What one consumer contributes to the score of a group.

    Attributes:
        inverse: inverse of its centred second moments [features, features].
        weight: current weights [features, outputs], scaled so that squared errors of consumers
            compare.
        features: features of each atom, none for an atom that it does not read.
    """

    inverse: Array
    weight: Array
    features: list[NDArray[np.int64]]


def make_view(
    moments: Moments,
    weight: Array,
    features: list[NDArray[np.int64]],
    *,
    ridge: float,
    refit: bool,
    importance: float = 1.0,
) -> View:
    """Prepare the moments of a consumer with a single group.

    Args:
        moments: its second moments.
        weight: its weights [features, outputs].
        features: features of each atom.
        ridge: added to the diagonal, relative to its mean.
        refit: whether the target differs from what the weight makes of the input.
        importance: factor on squared errors.
    """
    count = max(moments.rows, 1.0)
    mean = moments.gram[0, :-1, -1] / count
    gram = moments.gram[0, :-1, :-1] / count - np.outer(mean, mean)
    scale = float(np.trace(gram)) / max(len(gram), 1) + 1e-30
    gram[np.diag_indices_from(gram)] += ridge * scale
    factor = linalg.cho_factor(gram, lower=True)
    inverse = linalg.cho_solve(factor, np.eye(len(gram)))
    if refit:
        cross = moments.cross[0, :-1] / count - np.outer(mean, moments.cross[0, -1] / count)
        gram[np.diag_indices_from(gram)] -= ridge * scale
        weight = weight + linalg.cho_solve(factor, cross - gram @ weight)
    return View(inverse, weight * np.sqrt(importance), features)


@dataclass(frozen=True, slots=True)
class Order:
    """The order in which atoms leave.

    Attributes:
        atoms: numbers of the atoms, first to leave first.
        losses: error added by each, in that order.
    """

    atoms: NDArray[np.int64]
    losses: NDArray[np.float64]


def greedy_order(
    views: Sequence[View],
    count: int,
    most: int,
    *,
    watch: Callable[[int], None] | None = None,
    batches: int = BATCHES,
) -> Order:
    """Return the order in which the cheapest atoms leave.

    Args:
        views: the consumers; they are used up.
        count: number of atoms.
        most: how many leave; the others follow in the order of their last score.
        watch: called with the number of atoms that left after each removal.
        batches: a group with more atoms than this loses several at a time.
    """
    left = np.ones(count, bool)
    order: list[int] = []
    losses: list[float] = []
    at_once = max(1, count // batches)
    while len(order) < min(most, count):
        scores = _scores(views, left)
        scores[~left] = np.inf
        taken = np.argsort(scores, kind="stable")[: min(at_once, min(most, count) - len(order))]
        for atom in taken.tolist():
            order.append(atom)
            losses.append(float(scores[atom]))
            left[atom] = False
        for view in views:
            _remove(view, np.concatenate([view.features[a] for a in taken.tolist()]))
        if watch is not None:
            watch(len(order))
    rest = np.flatnonzero(left)
    if len(rest):
        scores = _scores(views, left)[rest]
        tail = np.argsort(scores, kind="stable")
        order += rest[tail].tolist()
        losses += scores[tail].tolist()
    return Order(np.array(order, np.int64), np.array(losses))


def _scores(views: Sequence[View], left: NDArray[np.bool_]) -> Array:
    scores = np.zeros(len(left))
    for view in views:
        sizes: dict[int, list[int]] = {}
        for atom in np.flatnonzero(left).tolist():
            if len(view.features[atom]):
                sizes.setdefault(len(view.features[atom]), []).append(atom)
        for atoms in sizes.values():
            places = np.stack([view.features[a] for a in atoms])
            weights = view.weight[places]  # atoms, block, outputs
            if places.shape[1] == 1:
                own = np.square(weights[:, 0]).sum(axis=1)
                scores[atoms] += own / view.inverse[places[:, 0], places[:, 0]]
                continue
            blocks = view.inverse[places[:, :, None], places[:, None, :]]
            scores[atoms] += (weights * np.linalg.solve(blocks, weights)).sum(axis=(1, 2))
    return scores


def _remove(view: View, places: NDArray[np.int64]) -> None:
    """Take features out: downdate the inverse, give their weight to the others."""
    if not len(places):
        return
    columns = view.inverse[:, places]
    block = columns[places]
    solved = np.linalg.solve(block, columns.T).T
    if not view.inverse.flags.f_contiguous:
        view.inverse = np.asfortranarray(view.inverse)
    view.weight -= solved @ view.weight[places]
    view.inverse = linalg.blas.dgemm(
        -1.0, solved, columns, beta=1.0, c=view.inverse, trans_b=True, overwrite_c=True
    )  # in place: a temporary of this size at every step would cost more than the product
    view.weight[places] = 0.0
    view.inverse[places] = 0.0
    view.inverse[:, places] = 0.0
    view.inverse[places, places] = 1.0
