"""Hold samples back together with all that resembles them.

A crop of a photo tells nothing new about another crop of it: errors on held-back samples are honest
only when relatives are held back at the same time. Samples are described by the mean activations of
all operators, standardised over the samples; those that correlate are relatives.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from onnxprune.recovery.exchange import exchanged
from onnxprune.runtime.batches import make_batches
from onnxprune.runtime.segment import needed_steps, open_segment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnxprune.recovery.sites import Site
    from onnxprune.runtime.feeds import Array, Feed
    from onnxprune.runtime.inputs import InputSpec
    from onnxprune.runtime.segment import Program

FOLDS = 4
"""Parts that samples are held back in."""

RELATED = 0.6
"""Mean correlation from which samples are relatives."""

_ROUNDING = 1e-6
"""What deviates less than this share of its largest value is a constant."""

_BATCHES = 4
"""Wanted number of batches of a fold."""

_MOST = 1024
"""With more samples relatives are not looked for."""


def fold_batches(
    program: Program,
    sites: Sequence[Site],
    samples: Sequence[Feed],
    specs: Sequence[InputSpec],
    *,
    copies: int = 0,
) -> tuple[list[dict[str, Array]], tuple[int, ...]]:
    """Return samples in batches, and the fold of each batch.

    Args:
        program: the network.
        sites: operators to describe samples with.
        samples: one in each feed.
        specs: inputs of the network.
        copies: how many more are made of each by exchanging parts.
    """
    groups = np.arange(len(samples))
    if sites and FOLDS < len(samples) <= _MOST:
        groups = relatives(np.stack(_describe(program, sites, samples)))
    fold_of = assign(groups)
    parts: list[list[Feed]] = [[] for _ in range(int(fold_of.max()) + 1)]
    for sample, fold in zip(samples, fold_of, strict=True):
        parts[fold].append(sample)
    per_fold = [
        make_batches([*part, *exchanged(part, copies, seed)], specs, wanted=_BATCHES)
        for seed, part in enumerate(parts)
    ]
    batches: list[dict[str, Array]] = []
    folds: list[int] = []
    for row in zip_longest(*per_fold):
        for fold, batch in enumerate(row):
            if batch is not None:
                batches.append(batch)
                folds.append(fold)
    return batches, tuple(folds)


def relatives(described: Array) -> Array:
    """Return a number per sample that relatives share.

    Args:
        described: a row per sample.
    """
    described = described[:, np.isfinite(described).all(axis=0)]
    deviation = described.std(axis=0)
    varies = deviation > _ROUNDING * np.abs(described).max(axis=0, initial=0.0)
    rows = (described - described.mean(axis=0))[:, varies] / deviation[varies]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True) + 1e-30
    distance = np.clip(1.0 - rows @ rows.T, 0.0, 2.0)
    np.fill_diagonal(distance, 0.0)
    tree = hierarchy.linkage(squareform(distance, checks=False), "average")
    return np.asarray(hierarchy.fcluster(tree, 1.0 - RELATED, "distance"))


def assign(groups: Array) -> Array:
    """Return the fold of each sample: folds of about one size, and no group in two of them.

    Args:
        groups: a number per sample that relatives share.
    """
    names, first, sizes = np.unique(groups, return_index=True, return_counts=True)
    count = min(FOLDS, len(groups))
    if len(names) < count:  # relatives all of them
        return np.arange(len(groups)) % count
    filled = np.zeros(count, np.int64)
    folds = np.empty(len(groups), np.int64)
    for g in sorted(range(len(names)), key=lambda g: (-sizes[g], first[g])):
        fold = int(np.argmin(filled))
        folds[groups == names[g]] = fold
        filled[fold] += sizes[g]
    return folds


def _describe(program: Program, sites: Sequence[Site], samples: Sequence[Feed]) -> list[Array]:
    axes = {s.target: s.target_axis for s in sites}
    steps = needed_steps(program, range(len(program.steps)), axes)
    like = {k: v for k, v in samples[0].items() if isinstance(v, np.ndarray)}
    call = open_segment(program, steps, axes, weights={}, biases={}, like=like)
    found = []
    for sample in samples:
        means = []
        for name, value in call(sample).items():
            rows = np.moveaxis(value, axes[name], -1)
            means.append(rows.reshape(-1, rows.shape[-1]).mean(axis=0, dtype=np.float64))
        found.append(np.concatenate(means))
    return found
