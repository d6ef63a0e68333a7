"""Which consumers to serve: the heaviest collection of sets that one order can make contiguous.

Sets that cannot be contiguous together contain a minimal *conflict*: sets of which any one must be
given up. Conflicts of three are found beforehand by counting; larger ones are learned from the
PQ-tree whenever a collection without known conflicts turns out impossible. Branch and bound over
the sets of a conflict, with a lower bound from disjoint conflicts, is exact; what it costs is
limited, and beyond the limit the best collection found by greedy choices with restarts remains.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxprune.core.order.classes import membership, triple_conflicts
from onnxprune.core.order.pq_tree import Node, require

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

EXACT_SETS = 64
"""Streams with more distinct sets than this are only searched heuristically."""

RESTARTS = 8


class Search:
    """A search for the heaviest collection of sets.

    Args:
        tree: the orders of classes that are allowed at all.
        signatures: per class, the sets that contain it, as bits.
        weights: what it costs to give up each set, all positive.
        effort: steps of branch and bound, and again of the restarts if these are needed. Looking at
            a known conflict is one step.

    Attributes:
        best: the heaviest collection so far, as bits.
        proven: whether no other is heavier.
    """

    def __init__(
        self, tree: Node, signatures: Sequence[int], weights: Sequence[float], *, effort: int
    ) -> None:
        self._tree = tree
        self._signatures = signatures
        self._weights = weights
        self._leaves = [
            sum(1 << c for c, signature in enumerate(signatures) if signature >> index & 1)
            for index in range(len(weights))
        ]
        self._limit = self._effort = effort
        self._tree_step = 10 + len(signatures) // 8
        self._learned: list[int] = []
        self._fitting: dict[int, Node | None] = {0: tree}
        self.best = 0
        self.proven = False

    def offer(self, collection: int) -> None:
        """Take a collection from elsewhere into account, if it is possible."""
        if self._weight(collection) > self._weight(self.best) and self.tree(collection):
            self.best = collection

    def run(self) -> None:
        """Search."""
        everything = (1 << len(self._weights)) - 1
        if self.tree(everything) is not None:
            self.best, self.proven = everything, True
            return
        heaviest = sorted(range(len(self._weights)), key=lambda s: (-self._weights[s], s))
        self.offer(self._greedy(heaviest))
        if len(self._weights) <= EXACT_SETS:
            known = triple_conflicts(membership(self._signatures, len(self._weights)))
            self._offer_unobtrusive(known)
            self._branch(0, everything, known)
            self.proven = self._effort > 0
        if not self.proven:
            self._effort = self._limit
            self._restart(heaviest)

    def tree(self, collection: int) -> Node | None:
        """Return the orders in which all sets of a collection are contiguous, None for none."""
        if collection not in self._fitting:
            self._fitting[collection] = self._grow(self._tree, collection)
        return self._fitting[collection]

    def _grow(self, tree: Node, collection: int) -> Node | None:
        # k runs have 2 k ends, which lie in no more than 2 k - 1 classes of wanted channels.
        kinds = {signature & collection for signature in self._signatures} - {0}
        if len(kinds) > 2 * collection.bit_count() - 1:
            return None
        current: Node | None = tree
        for index in _bits(collection):
            self._effort -= self._tree_step
            if current is None:
                return None
            current = require(current, self._leaves[index])
        return current

    def _weight(self, collection: int) -> float:
        return sum(self._weights[index] for index in _bits(collection))

    def _greedy(self, order: Iterable[int]) -> int:
        chosen, tree = 0, self._tree
        for index in order:
            self._effort -= self._tree_step
            larger = require(tree, self._leaves[index])
            if larger is not None:
                chosen, tree = chosen | 1 << index, larger
        return chosen

    def _offer_unobtrusive(self, conflicts: Sequence[int]) -> None:
        """Choose greedily by weight per conflict instead of weight."""
        price = [
            weight / (1 + sum(conflict >> index & 1 for conflict in conflicts))
            for index, weight in enumerate(self._weights)
        ]
        self.offer(self._greedy(sorted(range(len(price)), key=lambda s: (-price[s], s))))

    def _restart(self, heaviest: Sequence[int]) -> None:
        """Repeat the greedy choice from disturbed weights, each time climbing by exchanges."""
        generator = np.random.default_rng(0)
        self.best = self._climb(self.best, heaviest)
        for _ in range(RESTARTS):
            if self._effort <= 0:
                return
            noise = generator.uniform(0.5, 1.5, len(self._weights))
            order = sorted(heaviest, key=lambda s: -self._weights[s] * noise[s])
            self.best = max(self.best, self._climb(self._greedy(order), heaviest), key=self._weight)

    def _climb(self, chosen: int, heaviest: Sequence[int]) -> int:
        """Exchange sets for a missing one until that does not help any more."""
        better: int | None = chosen
        while better is not None:
            chosen, weight = better, self._weight(better)
            others = self._exchanges(chosen, heaviest)
            better = next((other for other in others if self._weight(other) > weight), None)
        return chosen

    def _exchanges(self, chosen: int, heaviest: Sequence[int]) -> Iterator[int]:
        """Force each missing set in turn into a collection and keep what fits with it."""
        missing = [s for s in heaviest if not chosen >> s & 1]
        kept = [s for s in heaviest if chosen >> s & 1]
        for forced in missing:
            if self._effort <= 0:
                return
            yield self._greedy([forced, *kept, *missing])

    def _branch(self, fixed: int, open_: int, conflicts: Sequence[int], seen: int = 0) -> None:
        """Search all collections that contain `fixed` and else only sets of `open_`.

        Args:
            fixed: sets that are chosen.
            open_: sets that may still be chosen.
            conflicts: known conflicts among them.
            seen: how many of the learned conflicts these take into account.
        """
        narrowed = self._narrow(fixed, open_, [*conflicts, *self._learned[seen:]])
        if narrowed is None:
            return
        open_, live = narrowed
        possible = fixed | open_
        if self._weight(possible) - self._loss(live, open_) <= self._weight(self.best):
            return
        if not live:
            if self.tree(possible) is not None:
                self.best = possible
                return
            live = [self._conflict(fixed, open_)]
            self._learned += live
        seen = len(self._learned)
        choice = min((c & open_ for c in live), key=lambda c: (c.bit_count(), self._weight(c)))
        for index in sorted(_bits(choice), key=lambda s: (self._weights[s], s)):
            open_ &= ~(1 << index)
            self._branch(fixed, open_, live, seen)
            fixed |= 1 << index

    def _narrow(self, fixed: int, open_: int, conflicts: list[int]) -> tuple[int, list[int]] | None:
        """Drop sets that conflict with the chosen ones.

        Returns:
            The sets still open and the conflicts that remain; None when nothing can come of it or
            the search has taken long enough.
        """
        excluded = -1
        while excluded:
            self._effort -= 1 + len(conflicts)
            if self._effort <= 0:
                return None
            possible = fixed | open_
            conflicts = [c for c in conflicts if not c & ~possible]
            excluded = 0
            for conflict in conflicts:
                free = conflict & open_
                if not free:
                    return None
                if not free & (free - 1):
                    excluded |= free
            open_ &= ~excluded
        return open_, conflicts

    def _loss(self, conflicts: Iterable[int], open_: int) -> float:
        """Return a lower bound of the weight that must be given up: disjoint conflicts add up."""
        loss, used = 0.0, 0
        for conflict in conflicts:
            free = conflict & open_
            if not free & used:
                used |= free
                loss += min(self._weights[index] for index in _bits(free))
        return loss

    def _conflict(self, fixed: int, open_: int) -> int:
        """Return a minimal conflict in a collection that is impossible."""
        found, tree = 0, self._tree
        pool = [*_bits(fixed), *_bits(open_)]
        while True:
            current = tree
            for index in pool:
                self._effort -= self._tree_step
                larger = require(current, self._leaves[index])
                if larger is None:
                    break
                current = larger
            found |= 1 << index
            del pool[pool.index(index) :]
            needed = require(tree, self._leaves[index])
            if needed is None:
                return found
            tree = needed


def _bits(mask: int) -> list[int]:
    indices = []
    while mask:
        low = mask & -mask
        indices.append(low.bit_length() - 1)
        mask ^= low
    return indices
