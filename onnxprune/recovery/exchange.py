"""Make more samples where there are few, by exchanging parts between those given.

Fits need several rows for every number they determine. The original network answers to any input,
so that inputs may be made up as long as they resemble real ones: tokens change places with those of
another sample, and a block of an image or spectrogram is that of another one (CutMix, Yun et al.,
arXiv 1905.04899, without its labels). Samples of different folds are never mixed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onnxprune.runtime.feeds import Array, Feed

_TOKENS = 0.5
"""Share of the tokens that are exchanged."""

_SMALLEST, _LARGEST = 0.25, 0.75
"""Bounds of a block's extent, relative to the sample's."""

_SPATIAL = 3
"""Rank from which an input has axes beside samples and channels."""


def exchanged(samples: Sequence[Feed], copies: int, seed: int = 0) -> list[Feed]:
    """Return new samples, none where no input has parts that may be exchanged.

    Args:
        samples: samples of one fold.
        copies: how many are made of each.
        seed: seed of the choices.
    """
    if len(samples) < 2:
        return []
    made: list[Feed] = []
    random = np.random.default_rng([seed, len(samples)])
    for _ in range(copies):
        for number, sample in enumerate(samples):
            partner = int(random.integers(len(samples) - 1))
            other = samples[partner + (partner >= number)]
            arrays, others = _arrays(sample), _arrays(other)
            new = {**sample, **{n: _mixed(n, arrays, others, random) for n in arrays}}
            if any(new[n] is not sample[n] for n in sample):
                made.append(new)
    return made


def _arrays(sample: Feed) -> dict[str, Array]:
    return {n: a for n, a in sample.items() if isinstance(a, np.ndarray)}


def _mixed(
    name: str, sample: Mapping[str, Array], other: Mapping[str, Array], random: np.random.Generator
) -> Array:
    """Return an input with parts of another sample's, itself where it has none to exchange."""
    mine, theirs = sample[name], other.get(name)
    if theirs is None or mine.ndim != theirs.ndim or not mine.ndim:
        return mine
    shared: tuple[slice, ...]
    if mine.dtype.kind in "iu":
        shared = tuple(slice(0, min(p)) for p in zip(mine.shape, theirs.shape, strict=True))
        taken = random.random(mine[shared].shape) < _TOKENS
        for beside in sample.keys() - {name}:  # masks and the like belong to their token
            a, b = sample[beside], other.get(beside)
            if (
                b is not None
                and a.shape == mine.shape
                and b.shape == theirs.shape
                and a.dtype.kind in "iub"
            ):
                taken &= a[shared] == b[shared]
    elif mine.dtype.kind == "f" and mine.ndim >= _SPATIAL and mine.shape[:2] == theirs.shape[:2]:
        block = [slice(None), slice(None)]
        for extent in map(min, mine.shape[2:], theirs.shape[2:]):
            size = round(extent * random.uniform(_SMALLEST, _LARGEST))
            start = int(random.integers(extent - size + 1))
            block.append(slice(start, start + size))
        shared = tuple(block)
        taken = np.ones(mine[shared].shape, bool)
    else:
        return mine
    taken = taken & (mine[shared] != theirs[shared])
    if not taken.any():
        return mine
    new = mine.copy()
    new[shared] = np.where(taken, theirs[shared], mine[shared])
    return new
