"""Regress the distortion of the outputs on random masks: forward passes and nothing else.

After Bonsai (Dery et al., Everybody Prune Now, arXiv 2402.05406): channels are silenced at random,
the damage to the network's outputs is measured, and a ridge regression tells how much of it each
channel answers for. Where Bonsai draws masks over the whole model and its prior favours what is
active, here every group is split at random into parts that are silenced in turn, several times
over, so that every atom is tried equally often; the regression shrinks towards `wanda`. A group
that is small enough is tried atom by atom. The masks are inputs of one session.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.criteria.activation import wanda
from onnxprune.criteria.magnitude import magnitude, normalised
from onnxprune.criteria.registry import criterion

if TYPE_CHECKING:
    from onnxprune.core.groups import Group
    from onnxprune.core.steps import Scores
    from onnxprune.criteria.registry import ScoreContext

RUNS = 768
"""Masks for the whole model, as far as every group gets its least share."""

_PARTS = 8
"""Parts that a group is split into, and so the least number of masks of a group."""


@criterion("perturbation", samples=True)
def perturbation(context: ScoreContext, group: Group) -> Scores:
    """Distortion of the outputs that silencing it causes, by regression on random masks."""
    assert context.gates is not None
    gates = context.gates()
    seen = gates.covered[group.atoms]
    if not seen.any():
        context.notes[group.id] = "it cannot be silenced; the weights' magnitude was taken"
        return magnitude(context, group)
    runs = max(_PARTS, RUNS // len(context.deps.groups))
    digest = hashlib.sha256(f"{context.seed}:{group.id}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
    masks = split_masks(group.size, runs, rng)
    damage = np.array([gates.distortion(group.atoms[mask]) for mask in masks])
    return regress(masks, damage, normalised(wanda(context, group)))


def split_masks(size: int, runs: int, rng: np.random.Generator) -> np.ndarray:
    """Return masks [masks, atoms] in which every atom is silenced equally often.

    Args:
        size: number of atoms.
        runs: number of masks at most, at least 8.
        rng: source of the splits.
    """
    if size <= runs:
        return np.eye(size, dtype=bool)
    masks = np.zeros((runs // _PARTS * _PARTS, size), bool)
    for number in range(runs // _PARTS):
        for part, atoms in enumerate(np.array_split(rng.permutation(size), _PARTS)):
            masks[number * _PARTS + part, atoms] = True
    return masks


def regress(masks: np.ndarray, damage: np.ndarray, prior: np.ndarray) -> Scores:
    """Return the damage that each atom answers for.

    Args:
        masks: which atoms were silenced [masks, atoms].
        damage: what that did [masks].
        prior: what to expect of each atom, up to a factor.
    """
    if len(masks) == masks.shape[1] and masks.sum() == len(masks):
        return np.asarray(damage @ masks, np.float64)
    design = masks.astype(np.float64)
    expected = design @ prior
    guess = prior * float(expected @ damage) / max(float(expected @ expected), 1e-30)
    missing = damage - design @ guess
    gram = design @ design.T + np.eye(len(design))
    return np.asarray(guess + design.T @ np.linalg.solve(gram, missing), np.float64)
