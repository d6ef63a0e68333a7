"""Decide which consumers keep reading channels that they ignore, because a copy would cost more.

A few channels more can also make a number that the provider likes: a multiple of its step. Every
move is tried on the predicted time of the whole network, and kept where that falls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from numpy.typing import NDArray

    from onnxprune.core.dependencies import Dependencies
    from onnxprune.core.labels import LabelArray
    from onnxprune.core.symmetry import Stream
    from onnxprune.planning.edges import Edge
    from onnxprune.planning.latency import LatencyModel

    Flags = NDArray[np.bool_]

_STEPS = (4, 8, 16, 32)
"""Numbers of channels are rounded up to multiples of these, where that is faster."""

_ROUNDS = 3
_LESS = 1e-6
"""Share of the time that a move has to save."""


class Padding:
    """Choices for one cut.

    Args:
        deps: the analysis.
        model: predicts the time.
        removed: flag per label set: what no consumer reads.
        groups: ids of the groups that may be rounded, None for all.
        enough: tells whether a cut still removes what was asked for; None for any.
    """

    def __init__(
        self,
        deps: Dependencies,
        model: LatencyModel,
        removed: Flags,
        groups: Collection[str] | None = None,
        enough: Callable[[Flags], bool] | None = None,
    ) -> None:
        self._groups, self._enough = groups, enough
        self._deps, self._model, self._removed = deps, model, removed
        assert deps.hierarchy is not None
        self._hierarchy = deps.hierarchy

    def cheapest(self, streams: Sequence[Stream] = ()) -> Flags:
        """Return what to cut so that the network takes the least time by prediction."""
        cut, best = self._removed, self._model.least(self._removed)
        skips = [e for e in self._model.edges if self._follows(e)]
        moves: list[list[Edge]] = [[e] for e in reversed(self._model.edges) if not self._follows(e)]
        moves += [[e] for e in reversed(skips)]
        moves += [[e for e in skips if np.isin(e.above, s.columns).any()] for s in streams]
        for stream in streams:
            moves.append([e for e in self._model.edges if np.isin(e.above, stream.columns).any()])
        moves.append(list(self._model.edges))
        groups = self._roundable()
        for _ in range(_ROUNDS):
            before = best
            for edges in moves:
                tried = self._kept(cut, edges)
                if tried is not cut and self._pays(tried, best):
                    cut, best = tried, self._model.least(tried)
            for atoms in groups:
                for step in _STEPS:
                    tried = self._rounded(cut, atoms, step)
                    if tried is not cut and self._pays(tried, best):
                        cut, best = tried, self._model.least(tried)
            if best == before:
                break
        return cut

    def _pays(self, cut: Flags, best: float) -> bool:
        faster = self._model.least(cut) < best * (1 - _LESS)
        return faster and (self._enough is None or self._enough(cut))

    def _roundable(self) -> list[LabelArray]:
        """Return the label sets of groups that Selects stand above or below of."""
        sides = np.zeros(len(self._deps.roots), bool)
        sides[self._hierarchy.below] = True
        return [
            g.atoms
            for g in self._deps.groups
            if (self._groups is None or g.id in self._groups)
            and (g.follows or sides[g.atoms].all())
        ]

    def _rounded(self, cut: Flags, atoms: LabelArray, step: int) -> Flags:
        """Return a cut with so much more of a group that what is kept is a multiple of a step.

        First comes what is there anyway, because somebody else reads it. Consumers that read all
        before keep reading all. The cut itself is returned where that changes nothing.
        """
        gone = atoms[cut[atoms]]
        kept = len(atoms) - len(gone)
        count = min(len(atoms), -(-kept // step) * step) - kept
        if not kept or not count:
            return cut
        there = self._hierarchy.downwards(~cut)
        gone = gone[np.argsort(~there[gone], kind="stable")]
        whole = [e for e in self._model.edges if not e.copied(cut)]
        tried = cut.copy()
        tried[gone[:count]] = False
        tried = self._settled(tried)
        return self._kept(tried, [e for e in whole if e.copied(tried)])

    def at_most(self, cut: Flags, copies: int, apart: Callable[[Flags], Collection[str]]) -> Flags:
        """Return a cut that needs no more than some copies, giving up the least useful ones.

        Args:
            cut: the cut.
            copies: most copies.
            apart: tells of which values no copies are needed.
        """
        while True:
            without = apart(cut)
            shared = [e for e in self._model.copies(cut).values() if e[0].value not in without]
            if len(shared) <= copies:
                return cut
            losses = [self._model.least(self._kept(cut, edges)) for edges in shared]
            for number in np.argsort(losses, kind="stable")[: len(shared) - copies].tolist():
                cut = self._kept(cut, shared[number])

    def _follows(self, edge: Edge) -> bool:
        return bool(self._hierarchy.follows[edge.below].any())

    def _kept(self, cut: Flags, edges: Sequence[Edge]) -> Flags:
        """Return a cut in which consumers keep all that their value keeps, and what that entails.

        The cut itself is returned where that changes nothing.
        """
        for edge in edges:
            if edge.copied(cut):
                more = cut.copy()
                more[edge.below[edge.missing(cut)]] = False
                cut = self._settled(more)
        return cut

    def _settled(self, cut: Flags) -> Flags:
        """Return a cut with what a smaller cut entails: values keep what their consumers keep.

        Rows that have to stay equally long are kept whole. The cut given is changed.
        """
        while True:
            before = int(cut.sum())
            cut &= ~self._hierarchy.upwards(~self._hierarchy.with_idle(cut))
            for table in self._deps.balances:
                flags = cut[table]
                counts = flags.sum(axis=1)
                if (counts != counts[0]).any():
                    cut[table] = False
            if int(cut.sum()) == before:
                return cut
