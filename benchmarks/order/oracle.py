"""Random streams with consumers, and what the best order of each would copy, by exhaustion.

The oracle knows nothing of PQ-trees. It lays the channels of a stream one by one in every possible
way. What matters of a beginning is which channels it holds and which sets it has broken: a channel
from outside a set breaks it while some but not all of its own channels are laid. So there are
2^channels states with a set of possible breakages each, kept as the bits of one integer, and many
streams of the same size are worked through at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MAX_SETS = 5
# Bit b of a state says that the sets in b may be the broken ones; these are the b without set s.
WITHOUT = [sum(1 << b for b in range(32) if not b >> s & 1) for s in range(MAX_SETS)]


@dataclass(frozen=True)
class Instance:
    """A stream of n channels, what each consumer wants of it, and the bytes of one channel."""

    n: int
    sets: list[set[int]]
    weights: list[int]


def random_instance(generator: np.random.Generator, *, channels: int, consumers: int) -> Instance:
    """Draw a stream: sets at random, or runs of a hidden order, of which some are disturbed."""
    n = int(generator.integers(2, channels + 1))
    count = int(generator.integers(1, consumers + 1))
    hidden = generator.permutation(n)
    share = generator.uniform(0.2, 0.8)
    kind = int(generator.integers(3))
    sets = []
    for _ in range(count):
        if kind == 0:
            wanted = set(np.flatnonzero(generator.random(n) < share).tolist())
        else:
            first, last = sorted(generator.integers(0, n + 1, 2).tolist())
            wanted = set(hidden[first:last].tolist())
            if kind == 2 and generator.random() < 0.5:
                wanted ^= {int(generator.integers(n))}
        sets.append(wanted)
    return Instance(n, sets, generator.integers(1, 50, count).tolist())


def least_bytes(instances: Sequence[Instance]) -> list[int]:
    """Return the bytes that the best order of each stream copies."""
    least = [0] * len(instances)
    for n in {instance.n for instance in instances}:
        places = [i for i, instance in enumerate(instances) if instance.n == n]
        breakages = _possible_breakages(n, [instances[i] for i in places])
        for place, possible in zip(places, breakages.tolist(), strict=True):
            least[place] = min(
                _bytes(instances[place], broken) for broken in range(32) if possible >> broken & 1
            )
    return least


def _bytes(instance: Instance, broken: int) -> int:
    pairs = zip(instance.sets, instance.weights, strict=True)
    return sum(len(s) * w for i, (s, w) in enumerate(pairs) if broken >> i & 1)


def _possible_breakages(n: int, instances: Sequence[Instance]) -> NDArray[np.uint32]:
    masks = np.zeros((MAX_SETS, len(instances)), np.int64)
    for column, instance in enumerate(instances):
        for row, wanted in enumerate(instance.sets):
            masks[row, column] = sum(1 << channel for channel in wanted)
    possible = np.zeros((1 << n, len(instances)), np.uint32)
    possible[0] = 1
    for laid in range(1 << n):
        common = masks & laid
        begun = (common != 0) & (common != masks)
        for channel in range(n):
            if laid >> channel & 1:
                continue
            state = possible[laid]
            for s in range(MAX_SETS):
                breaks = begun[s] & (masks[s] >> channel & 1 == 0)
                without = state & np.uint32(WITHOUT[s])
                broken = (state ^ without) | without << np.uint32(1 << s)
                state = np.where(breaks, broken, state)
            possible[laid | 1 << channel] |= state
    return possible[-1]
