"""Decide which consumers keep reading channels that they ignore, because a copy would cost more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from onnxprune.core.dependencies import Dependencies
    from onnxprune.core.symmetry import Stream
    from onnxprune.planning.latency import Edge, LatencyModel

    Flags = NDArray[np.bool_]


class Padding:
    """Choices for one cut.

    Args:
        deps: the analysis.
        model: predicts the time.
        removed: flag per label set: what no consumer reads.
    """

    def __init__(self, deps: Dependencies, model: LatencyModel, removed: Flags) -> None:
        self._deps, self._model, self._removed = deps, model, removed
        assert deps.hierarchy is not None
        self._hierarchy = deps.hierarchy
        self._price: dict[str, float] = {}
        self._group = {int(a): g.id for g in deps.groups for a in g.atoms}

    def cheapest(self, streams: Sequence[Stream] = ()) -> Flags:
        """Return what to cut so that the network takes the least time by prediction."""
        cut = self._removed
        work = self._model.work(cut)
        for edge in reversed(self._model.edges):
            if self._follows(edge):
                continue
            missing = edge.missing(cut)
            if missing.any() and self._price_of(edge, cut, work) * missing.sum() < (
                self._model.copy_time(edge, cut)
            ):
                cut = self.keep(cut, edge)
        skips = [e for e in self._model.edges if self._follows(e)]
        moves = [[e] for e in reversed(skips)]
        moves += [[e for e in skips if np.isin(e.above, s.columns).any()] for s in streams]
        best = self._model.total(cut)
        for edges in moves:
            tried = cut
            for edge in edges:
                tried = self.keep(tried, edge)
            if np.array_equal(tried, cut):
                continue
            time = self._model.total(tried)
            if time < best:
                cut, best = tried, time
        return cut

    def aligned(self, cut: Flags, step: int) -> Flags:
        """Return a cut after which streams through grouped convolutions have even widths.

        What lies above them is computed although nobody reads it; consumers that read all before
        keep reading all.
        """
        grouped = {
            key
            for node in self._deps.graph.nodes
            if int(node.attribute("group", 1) or 1) > 1
            for key in node.inputs
        }
        whole = [e for e in self._model.edges if not e.missing(cut).any()]
        cut = cut.copy()
        for group in self._deps.groups:
            if group.follows and any(p.parameter in grouped for p in group.slices):
                gone = group.atoms[cut[group.atoms]]
                kept = group.size - len(gone)
                cut[gone[: min(group.size, -(-kept // step) * step) - kept]] = False
        cut &= ~self._hierarchy.upwards(~cut)
        for edge in whole:
            cut = self.keep(cut, edge)
        return cut

    def at_most(self, cut: Flags, copies: int) -> Flags:
        """Return a cut that needs no more than some copies, giving up the least useful ones."""
        while True:
            shared = self._model.copies(cut)
            if len(shared) <= copies:
                return cut
            work = self._model.work(cut)
            losses = [self._loss(edges, cut, work) for edges in shared.values()]
            groups = list(shared.values())
            for number in np.argsort(losses, kind="stable")[: len(shared) - copies].tolist():
                for edge in groups[number]:
                    cut = self.keep(cut, edge)

    def _loss(self, edges: Sequence[Edge], cut: Flags, work: float) -> float:
        more = sum(self._price_of(e, cut, work) * e.missing(cut).sum() for e in edges)
        return float(more - self._model.copy_time(edges[0], cut))

    def _follows(self, edge: Edge) -> bool:
        return bool(self._hierarchy.follows[edge.below].any())

    def _price_of(self, edge: Edge, cut: Flags, work: float) -> float:
        """Return the time of one more channel behind a Select, about the same for all of them."""
        missing = np.flatnonzero(edge.missing(cut))
        if not len(missing):
            return 0.0
        root = int(edge.below[missing[0]])
        group = self._group.get(root, "")
        if group not in self._price:
            more = cut.copy()
            more[root] = False
            self._price[group] = max(0.0, self._model.work(more) - work)
        return self._price[group]

    def keep(self, cut: Flags, edge: Edge) -> Flags:
        """Return a cut in which a consumer keeps all that its value keeps, and what that entails.

        Rows that have to stay equally long are kept whole.
        """
        cut = cut.copy()
        cut[edge.below[edge.missing(cut)]] = False
        while True:
            before = int(cut.sum())
            cut &= ~self._hierarchy.upwards(~cut)
            for table in self._deps.balances:
                flags = cut[table]
                counts = flags.sum(axis=1)
                if (counts != counts[0]).any():
                    cut[table] = False
            if int(cut.sum()) == before:
                return cut
