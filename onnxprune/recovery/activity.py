"""What samples tell about the channels of every input that is summed over, in one walk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.criteria.registry import ConsumerStats

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from onnxprune.core.dependencies import Dependencies
    from onnxprune.core.labelling import Contraction
    from onnxprune.recovery.sites import Site, Sites
    from onnxprune.runtime.stream import TwinStream

    Array = np.ndarray


def consumer_stats(
    deps: Dependencies, found: Sites, stream: TwinStream, read: Callable[[str], Array]
) -> list[ConsumerStats]:
    """Return statistics of the inputs of all consumers on the original network.

    A depthwise convolution hands its channels on and is no consumer here: what a channel is worth
    shows behind it.

    Args:
        deps: the analysis.
        found: the consumers.
        stream: the network on samples, not moved yet.
        read: returns the content of a parameter.
    """
    places = [*map(_of_site(read), found.sites), *map(_of_masked(deps), found.masked)]
    result = []
    for place in sorted(places, key=lambda p: p.number):
        if not place.parts or stream.program.is_weight(place.key):
            continue
        stream.move(place.number)
        for labels, axes, weight in place.parts:
            sums = _sums(axes, (stream.original(place.key, b) for b in range(stream.batches)))
            if sums is not None and sums.shape[1] == len(weight):
                mean, power, magnitude, active = sums
                variance = np.maximum(power - np.square(mean), 0.0)
                result.append(ConsumerStats(labels, power, variance, magnitude, active, weight))
    return result


@dataclass(frozen=True, slots=True)
class _Place:
    """An input that is summed over.

    Attributes:
        number: position of the node.
        key: the input.
        parts: labels by factor, the axes they lie along, and squared weights.
    """

    number: int
    key: str
    parts: list[tuple[tuple[Array, ...], tuple[int, ...], Array]]


def _of_site(read: Callable[[str], Array]) -> Callable[[Site], _Place]:
    def place(site: Site) -> _Place:
        made = np.concatenate([*(a.ravel() for a in site.outputs), np.zeros(0, np.int64)])
        hands_on = site.groups > 1 and np.isin(site.atoms(), made).all()
        if hands_on or not site.labels:
            return _Place(site.number, site.x, [])
        weight = np.square(site.weight.load(read(site.weight.chain.parameter.key)))
        energy = weight.reshape(site.channels, -1).sum(axis=1)
        return _Place(site.number, site.x, [(site.labels, (site.axis,), energy)])

    return place


def _of_masked(deps: Dependencies) -> Callable[[Contraction], _Place]:
    def place(contraction: Contraction) -> _Place:
        key = contraction.node.inputs[contraction.position]
        parts = [
            ((deps.roots[f.labels].ravel(),), f.axes, np.ones(f.labels.size))
            for f in deps.ctx.factors_of.get(key, ())
            if set(f.axes) & set(contraction.axes)
        ]
        return _Place(contraction.node.index, key, [*parts])

    return place


def _sums(axes: tuple[int, ...], arrays: Iterator[Array]) -> Array | None:
    """Return mean, mean square, mean absolute value and share of non-zeros per index of axes."""
    total: Array | None = None
    count = 0
    for array in arrays:
        if array.dtype.kind not in "fiu":
            return None
        rows = np.moveaxis(array, axes, range(len(axes)))
        rows = rows.reshape(int(np.prod(rows.shape[: len(axes)])), -1).astype(np.float64)
        made = np.stack(
            [
                rows.sum(axis=1),
                np.square(rows).sum(axis=1),
                np.abs(rows).sum(axis=1),
                np.count_nonzero(rows, axis=1),
            ]
        )
        total = made if total is None else total + made
        count += rows.shape[1]
    return None if total is None else total / max(count, 1)
