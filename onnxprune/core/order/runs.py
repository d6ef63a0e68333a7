"""Fewer runs: local search over sequences of channel classes.

Walking along a sequence from outside to outside, every run of a set is entered once and left once;
so the weighted number of runs is half the length of a round trip, where the distance of two classes
is the weight of the sets that contain only one of them. A set that must stay in one piece gets a
weight that no saving elsewhere makes up for. Reversing and moving stretches shortens the trip.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

MAX_CLASSES = 300
"""Sequences of more classes are left as they are: a step looks at all pairs."""

MOVES = 150_000
"""How many lengths of stretch times pairs of classes one step looks at."""


def fewer_runs(
    sequence: Sequence[int], contains: NDArray[np.bool_], weights: Sequence[float]
) -> list[int]:
    """Rearrange classes so that sets fall into fewer runs.

    Args:
        sequence: all classes, in some order.
        contains: which sets contain which classes [sets classes].
        weights: weight of a run of each set.

    Returns:
        A sequence with no greater weighted number of runs.
    """
    count = len(sequence)
    if count > MAX_CLASSES:
        return list(sequence)
    member = np.zeros((count + 1, len(contains)))
    member[:count] = contains.T
    scaled = member * np.asarray(weights, np.float64)
    norm = scaled.sum(1)
    distance = norm[:, None] + norm[None, :] - 2 * (scaled @ member.T)
    tour = np.array([count, *sequence])  # the outside is the class that no set contains
    longest = min(count - 1, max(3, MOVES // (count + 1) ** 2))
    for _ in range(4 * count):
        between = distance[np.ix_(tour, tour)]
        shorter = min(
            (_reversal(between), *(_move(between, length) for length in range(1, longest + 1))),
            key=lambda found: found[0],
        )
        if shorter[0] > -0.5:
            break
        tour = tour[shorter[1]]
    return [int(index) for index in tour[1:]]


def _reversal(between: Numbers) -> tuple[float, NDArray[np.int64]]:
    """Return by how much the best reversal of a stretch lengthens the trip, and the new places."""
    places = np.arange(len(between))
    after = np.roll(places, -1)
    edge = between[places, after]
    change = between + between[np.ix_(after, after)] - edge[:, None] - edge[None, :]
    change[np.tri(len(places), dtype=bool)] = 0
    first, last = np.unravel_index(np.argmin(change), change.shape)
    new = places.copy()
    new[first + 1 : last + 1] = places[first + 1 : last + 1][::-1]
    return float(change[first, last]), new


def _move(between: Numbers, length: int) -> tuple[float, NDArray[np.int64]]:
    """Return the same for moving a stretch of a given length elsewhere, as it is or reversed."""
    places = np.arange(len(between))
    after = np.roll(places, -1)
    edge = between[places, after]
    start = places[1 : len(places) - length + 1]
    end = start + length - 1
    gain = edge[start - 1] + edge[end] - between[start - 1, after[end]]
    straight = between[start] + between[end][:, after]
    turned = between[end] + between[start][:, after]
    change = np.minimum(straight, turned) - edge[None, :] - gain[:, None]
    inside = (places[None, :] >= start[:, None] - 1) & (places[None, :] <= end[:, None])
    change[inside] = 0
    row, target = np.unravel_index(np.argmin(change), change.shape)
    stretch = places[start[row] : end[row] + 1]
    if turned[row, target] < straight[row, target]:
        stretch = stretch[::-1]
    rest = np.delete(places, np.s_[start[row] : end[row] + 1])
    cut = int(np.searchsorted(rest, target)) + 1
    return float(change[row, target]), np.concatenate([rest[:cut], stretch, rest[cut:]])
