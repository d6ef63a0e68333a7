"""Stack samples so that a network runs on several at once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onnxprune.runtime.feeds import Array, Feed
    from onnxprune.runtime.inputs import InputSpec

__all__ = ["TIME", "make_batches", "single_samples"]

TIME: Final = re.compile(r"seq|time|frame|len|token|step|audio|wav", re.IGNORECASE)
"""A first axis of such a name is time: cutting along it would tear a sample apart."""

_BATCHES = 16
"""Wanted number of batches."""


def make_batches(
    feeds: Sequence[Feed], specs: Sequence[InputSpec], *, wanted: int = _BATCHES
) -> list[dict[str, Array]]:
    """Stack samples of equal shape where every input has the same open first dimension.

    A feed that holds several samples is taken apart first.

    Args:
        feeds: samples.
        specs: the model's inputs.
        wanted: how many batches are wanted where samples can be stacked.
    """
    arrays = [{k: v for k, v in f.items() if isinstance(v, np.ndarray)} for f in feeds]
    if not _stackable(specs):
        return arrays
    single = _taken_apart(arrays)
    shapes: dict[tuple[object, ...], list[dict[str, Array]]] = {}
    for feed in single:
        key = tuple((k, v.shape, v.dtype) for k, v in sorted(feed.items()))
        shapes.setdefault(key, []).append(feed)
    size = max(1, len(single) // wanted)
    return [
        {k: np.concatenate([f[k] for f in alike[start : start + size]]) for k in alike[0]}
        for alike in shapes.values()
        for start in range(0, len(alike), size)
    ]


def single_samples(feeds: Sequence[Feed], specs: Sequence[InputSpec]) -> list[Feed]:
    """Take feeds of several samples apart where every input has the same open first dimension.

    Args:
        feeds: feeds of any number of samples.
        specs: the model's inputs.
    """
    if not _stackable(specs) or any(
        not isinstance(v, np.ndarray) for f in feeds for v in f.values()
    ):
        return list(feeds)
    return list(_taken_apart(feeds))


def _stackable(specs: Sequence[InputSpec]) -> bool:
    firsts = {s.dims[0] if s.dims else None for s in specs}
    first = next(iter(firsts), None)
    return len(firsts) == 1 and isinstance(first, str) and not TIME.search(first)


def _taken_apart(feeds: Sequence[Mapping[str, Any]]) -> list[dict[str, Array]]:
    return [{k: v[i : i + 1] for k, v in f.items()} for f in feeds for i in range(_length(f))]


def _length(feed: Mapping[str, Array]) -> int:
    lengths = {len(v) for v in feed.values() if v.ndim}
    return lengths.pop() if len(lengths) == 1 else 1
