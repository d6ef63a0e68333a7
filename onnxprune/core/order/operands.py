"""Several streams laid end to end, such as the operands of a concatenation, ordered as one.

The channels of all operands are numbered as the concatenation numbers them. Each operand is a block
that no order may tear apart; inside it, and among the operands, the order is free. Sets wanted
from one operand and sets wanted from the whole are then sets of the same numbers, and one order
serves both. Streams that are added together have one order by nature: they are one operand, and
all their consumers' sets are sets of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True)
class Operands:
    """The operands of a concatenation.

    Attributes:
        sizes: number of channels of each operand.

    Examples:
        >>> both = Operands((2, 3))
        >>> both.whole(1, [0, 2])
        [2, 4]
        >>> both.split([4, 2, 3, 0, 1])
        [(1, [2, 0, 1]), (0, [0, 1])]
    """

    sizes: tuple[int, ...]

    @property
    def total(self) -> int:
        """Number of channels of the concatenation."""
        return sum(self.sizes)

    @property
    def blocks(self) -> list[range]:
        """The channels of each operand, to be given to the search as blocks."""
        ends = [0]
        for size in self.sizes:
            ends.append(ends[-1] + size)
        return [range(start, end) for start, end in pairwise(ends)]

    def whole(self, operand: int, channels: Iterable[int]) -> list[int]:
        """Return the numbers that an operand's channels have in the concatenation."""
        start = sum(self.sizes[:operand])
        return [start + channel for channel in channels]

    def split(self, order: Sequence[int]) -> list[tuple[int, list[int]]]:
        """Return the operands in their new order, each with the new order of its own channels.

        Args:
            order: an order of all channels that keeps every operand in one piece.
        """
        owner = [(index, block.start) for index, block in enumerate(self.blocks) for _ in block]
        parts: list[tuple[int, list[int]]] = []
        for channel in order:
            index, start = owner[channel]
            if not parts or parts[-1][0] != index:
                parts.append((index, []))
            parts[-1][1].append(channel - start)
        assert len(parts) == sum(size > 0 for size in self.sizes), "an operand was torn apart"
        return parts
