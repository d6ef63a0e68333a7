"""Stack samples so that a network runs on several at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnxprune.runtime.feeds import Array, Feed
    from onnxprune.runtime.inputs import InputSpec

__all__ = ["make_batches"]

_BATCHES = 16
"""Wanted number of batches: samples are held back by batch."""


def make_batches(feeds: Sequence[Feed], specs: Sequence[InputSpec]) -> list[dict[str, Array]]:
    """Stack samples of equal shape where every input has the same open first dimension.

    A feed that holds several samples is taken apart first.

    Args:
        feeds: samples.
        specs: the model's inputs.
    """
    arrays = [{k: v for k, v in f.items() if isinstance(v, np.ndarray)} for f in feeds]
    firsts = {s.dims[0] if s.dims else None for s in specs}
    if len(firsts) != 1 or not isinstance(next(iter(firsts)), str):
        return arrays
    single = [{k: v[i : i + 1] for k, v in f.items()} for f in arrays for i in range(_length(f))]
    shapes: dict[tuple[object, ...], list[dict[str, Array]]] = {}
    for feed in single:
        key = tuple((k, v.shape, v.dtype) for k, v in sorted(feed.items()))
        shapes.setdefault(key, []).append(feed)
    size = max(1, len(single) // _BATCHES)
    return [
        {k: np.concatenate([f[k] for f in alike[start : start + size]]) for k in alike[0]}
        for alike in shapes.values()
        for start in range(0, len(alike), size)
    ]


def _length(feed: dict[str, Array]) -> int:
    lengths = {len(v) for v in feed.values() if v.ndim}
    return lengths.pop() if len(lengths) == 1 else 1
