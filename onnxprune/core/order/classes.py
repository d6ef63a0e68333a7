"""Channel classes: channels that the same sets contain are interchangeable and ordered as one.

Sixteen consumers that all get contiguous channels divide a stream into at most 31 classes, whatever
its width; so the searches work on classes, and much that they must decide shows in mere counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.core.order.pq_tree import require_all, universal

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes of some channels under some sets.

    Attributes:
        signatures: per class, the sets that contain it, as bits.
        members: per class, its channels.
    """

    signatures: list[int]
    members: list[list[int]]

    def with_set(self, index: int) -> int:
        """Return the classes that a set contains, as bits."""
        return sum(1 << c for c, signature in enumerate(self.signatures) if signature >> index & 1)

    def channels(self, classes: Sequence[int]) -> list[int]:
        """Return the channels of classes, in the order of the classes."""
        return [channel for index in classes for channel in self.members[index]]


def divide(n: int, sets: Sequence[Collection[int]]) -> Classes:
    """Divide channels into classes.

    Classes come in Gray code order of their signatures: wherever an order of them is arbitrary,
    neighbours then differ in few sets, which keeps the number of runs low.
    """
    signatures = [0] * n
    for index, wanted in enumerate(sets):
        bit = 1 << index
        for channel in wanted:
            signatures[channel] |= bit
    members: dict[int, list[int]] = {}
    for channel, signature in enumerate(signatures):
        members.setdefault(signature, []).append(channel)
    # Channels that nobody wants go last, where they cannot come between others.
    ordered = sorted(members, key=lambda signature: (signature == 0, _gray_rank(signature)))
    return Classes(ordered, [members[signature] for signature in ordered])


def _gray_rank(code: int) -> int:
    shift = 1
    while shift <= code.bit_length():
        code ^= code >> shift
        shift *= 2
    return code


def membership(signatures: Sequence[int], sets: int) -> NDArray[np.bool_]:
    """Return which sets contain which classes [sets classes]."""
    rows = [[signature >> index & 1 for signature in signatures] for index in range(sets)]
    return np.array(rows, bool).reshape(sets, len(signatures))


def triple_conflicts(contains: NDArray[np.bool_]) -> list[int]:
    """Return the triples of sets that no order can make contiguous together, as bits.

    Whether three sets can depends only on which of the seven kinds of channel exist (in the first
    alone, in the first and second, ...), and these can be counted for all triples by products of
    matrices. Two sets are never in conflict.
    """
    count = len(contains)
    as_numbers = contains.astype(np.float32)
    both = as_numbers @ as_numbers.T
    size = np.diagonal(both)
    refused = _refused_kinds()
    conflicts = []
    for first in range(count - 2):
        inside = as_numbers[first + 1 :, contains[first]]
        all_three = inside @ inside.T
        with_first = np.diagonal(all_three)
        other_two = both[first + 1 :, first + 1 :] - all_three
        without_first = size[first + 1 :] - with_first
        # In the order of the kinds: 1 in the first alone, 2 in the second alone, 3 in both, ...
        numbers = (
            size[first] - with_first[:, None] - with_first[None, :] + all_three,
            without_first[:, None] - other_two,
            with_first[:, None] - all_three,
            without_first[None, :] - other_two,
            with_first[None, :] - all_three,
            other_two,
            all_three,
        )
        exists = sum((number > 0.5).astype(np.int64) << bit for bit, number in enumerate(numbers))
        second, third = np.nonzero(np.triu(refused[exists], 1))
        conflicts += [
            1 << first | 1 << first + 1 + a | 1 << first + 1 + b
            for a, b in zip(second.tolist(), third.tolist(), strict=True)
        ]
    return conflicts


@cache
def _refused_kinds() -> NDArray[np.bool_]:
    """Return, for every choice of kinds of channel that exist, whether three sets conflict."""
    refused = []
    for existing in range(128):
        kinds = [kind for kind in range(1, 8) if existing >> (kind - 1) & 1]
        sets = (
            sum(1 << leaf for leaf, kind in enumerate(kinds) if kind >> index & 1)
            for index in range(3)
        )
        refused.append(require_all(universal(len(kinds)), sets) is None)
    return np.array(refused)
