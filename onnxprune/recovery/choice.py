"""Choose which atoms of a group leave, from the moments of all its consumers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.recovery.greedy import View, greedy_order, make_view
from onnxprune.recovery.moments import Moments, total, variance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from onnxprune.core.groups import Group
    from onnxprune.recovery.sites import Site

    Array = np.ndarray


@dataclass(slots=True)
class Evidence:
    """What is known about one consumer of a group.

    Attributes:
        site: the consumer.
        folds: moments of all its features by fold.
        weight: its weights [1, features, outputs].
        refit: whether the target is the original's output on another input.
        alive: outputs that count, None for all.
        scale: what the outputs are multiplied with later, None for ones.
    """

    site: Site
    folds: Sequence[Moments]
    weight: Array
    refit: bool
    alive: NDArray[np.bool_] | None = None
    scale: Array | None = None


def features_of(
    site: Site, atoms: Sequence[int], takes: NDArray[np.int64] | None = None
) -> list[NDArray[np.int64]]:
    """Return the features that each atom owns at a site.

    Args:
        site: the consumer.
        atoms: the atoms.
        takes: by label the atom that takes it along, None where atoms are labels of the site.
    """
    kernel = site.block
    where: dict[int, list[int]] = {}
    for labels in site.labels:
        owners = labels if takes is None else takes[labels]
        for channel, root in enumerate(owners.tolist()):
            where.setdefault(root, []).append(channel)
    within = np.arange(kernel)
    empty = np.zeros(0, np.int64)
    return [
        (np.array(sorted(where[a]))[:, None] * kernel + within).ravel() if a in where else empty
        for a in atoms
    ]


def score_group(
    group: Group,
    evidence: Sequence[Evidence],
    removed: NDArray[np.bool_],
    *,
    most: int,
    ridge: float,
    takes: NDArray[np.int64] | None = None,
) -> Array:
    """Return a score per atom: its place in the order in which a greedy removal takes them.

    Args:
        group: the group.
        evidence: its consumers with a single group of channels.
        removed: labels that left before.
        most: number of atoms that may leave.
        ridge: least ridge of the inverses, relative to the mean variance.
        takes: by label the atom that takes it along, None where atoms are labels of consumers.
    """
    views = [v for e in evidence if (v := _view(group, e, removed, ridge, takes)) is not None]
    if not views:
        return np.zeros(group.size)
    order = greedy_order(views, group.size, most)
    scores = np.empty(group.size)
    scores[order.atoms] = np.arange(group.size, dtype=np.float64)
    return scores


def _view(
    group: Group,
    evidence: Evidence,
    removed: NDArray[np.bool_],
    ridge: float,
    takes: NDArray[np.int64] | None,
) -> View | None:
    site, everything = evidence.site, total(evidence.folds)
    weight = evidence.weight
    if evidence.scale is not None:
        weight = weight * evidence.scale.reshape(1, 1, -1)
    if evidence.alive is not None:
        if not evidence.alive.any():
            return None
        weight = weight[:, :, evidence.alive]
    weight = site.spread(weight)[0]
    if site.pointwise:  # the target is the input of the original
        energy = variance(everything.scaled(np.sqrt(np.square(weight).sum(axis=1))[None]))
        everything = Moments(everything.gram, everything.cross @ weight, everything.energy)
    else:
        if evidence.scale is not None:
            everything = everything.scaled(evidence.scale[None])
        if evidence.alive is not None:
            everything = everything.outputs(evidence.alive)
        energy = variance(everything)
    features = features_of(site, group.atoms.tolist(), takes)
    gone = site.gone(removed)
    if gone is not None and gone.any():
        kept = np.repeat(~gone, site.block)
        number = np.cumsum(kept) - 1
        everything, weight = everything.part(kept), weight[kept]
        features = [number[f[kept[f]]] for f in features]
    dims = weight.shape[0]
    damp = ridge + 0.1 * dims / max(everything.rows, 1.0)
    return make_view(
        everything, weight, features, ridge=damp, refit=evidence.refit,
        importance=everything.rows / energy,
    )  # fmt: skip
