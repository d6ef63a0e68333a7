"""Read off a pruned file what was removed: its weights are slices of the original's.

Where one axis of a parameter is unknown, its slices are matched in order; what is learnt about the
labels there settles an axis of the next parameter, until nothing changes. The result counts only
if it explains every weight of the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxprune.core.branches import readers_of
from onnxprune.core.graph import build_graph
from onnxprune.errors import PlanMismatchError
from onnxprune.rewrite.parameters import ParameterCut

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from onnxprune.analysis import Analysis
    from onnxprune.core.branches import Branch
    from onnxprune.core.graph import Graph, Parameter
    from onnxprune.core.labels import Factors
    from onnxprune.io import Model

    Flags = NDArray[np.bool_]

_UNKNOWN, _KEPT, _REMOVED = -1, 0, 1


def reconstruct(analysis: Analysis, pruned: Model) -> Flags | None:
    """Return one flag per label for what a file lacks, None when its weights are not slices.

    Args:
        analysis: the original.
        pruned: the pruned model.
    """
    return _Matcher(analysis, pruned).run()


def missing_branches(analysis: Analysis, pruned: Model) -> tuple[Branch, ...]:
    """Return the residual branches of the original of whose weights a file has none.

    Args:
        analysis: the original.
        pruned: the pruned model.
    """
    there = build_graph(pruned.proto).all_parameters().keys() | analysis.copies.keys()
    readers = readers_of(analysis.deps)
    found = []
    for branch in analysis.branches:
        own = {k for k in analysis.deps.ctx.sources if readers.get(k, set()) <= branch.dead}
        own = {k for k in own if k in analysis.deps.ctx.parameters and readers.get(k)}
        if own - analysis.copies.keys() and not own - analysis.copies.keys() & there:
            found.append(branch)
    return tuple(found)


class _Matcher:
    def __init__(self, analysis: Analysis, pruned: Model) -> None:
        self._analysis = analysis
        self._pruned = pruned
        self._deps = analysis.deps
        graph = build_graph(pruned.proto)
        self._others = graph.all_parameters()
        self._names = self._names_of_copies(graph)
        self._state = np.full(len(self._deps.roots), _UNKNOWN)

    def _names_of_copies(self, graph: Graph) -> dict[str, str]:
        """Find the copies of shared vectors by their readers: equal ones were merged again."""
        makers = {node.outputs[0]: node for node in graph.all_nodes() if node.outputs}
        found: dict[str, str] = {}
        for node in self._deps.graph.all_nodes():
            twin = makers.get(node.outputs[0]) if node.outputs else None
            for position, key in enumerate(node.inputs):
                if twin is not None and key in self._analysis.copies:
                    found[key] = twin.input(position)
        return found

    def _other(self, key: str) -> Parameter | None:
        return self._others.get(self._names.get(key, key))

    def run(self) -> Flags | None:
        open_keys = [key for key, _, _ in self._pairs()]
        progress = True
        while progress:
            progress = False
            for key in list(open_keys):
                solved = self._solve(key)
                if solved is None:
                    return None
                if solved:
                    open_keys.remove(key)
                    progress = True
        removed = self._state[self._deps.roots] == _REMOVED
        return removed if self._explains(removed) else None

    def _pairs(self) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Yield each labelled parameter with its content before and after."""
        for key, factors in self._deps.ctx.sources.items():
            parameter = self._deps.ctx.parameters.get(key)
            other = self._other(key)
            if parameter is not None and factors and other is not None:
                old = self._analysis.model.array(parameter.tensor)
                yield key, old, self._pruned.array(other.tensor)

    def _arrays(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        parameter = self._deps.ctx.parameters[key]
        other = self._other(key)
        assert other is not None
        return self._analysis.model.array(parameter.tensor), self._pruned.array(other.tensor)

    def _solve(self, key: str) -> bool | None:
        """Match a parameter; False when too much is unknown yet, None when it cannot match."""
        old, new = self._arrays(key)
        factors = self._deps.ctx.sources[key]
        if old.ndim != new.ndim or old.dtype != new.dtype:
            return None
        unknown = []
        for axis in range(old.ndim):
            kept = self._kept(factors, axis, old.shape[axis], new.shape[axis])
            if kept is None:
                unknown.append(axis)
            elif kept.sum() != new.shape[axis]:
                return None
            else:
                old = old if kept.all() else old.compress(kept, axis)
        if not unknown:
            return True
        if len(unknown) > 1 or any(len(f.axes) > 1 for f in factors):
            return False
        kept = _matched(old, new, unknown[0])
        if kept is None:
            return False
        self._learn(factors, unknown[0], kept)
        return True

    def _kept(self, factors: Factors, axis: int, before: int, after: int) -> Flags | None:
        """Return which indices of an axis remain, None when that is not known."""
        if before == after:
            return np.ones(before, bool)
        along = [f for f in factors if axis in f.axes]
        if any(len(f.axes) > 1 for f in along):
            return None
        states = [self._state[self._deps.roots[f.labels]] for f in along]
        removed = np.zeros(before, bool)
        unknown = np.zeros(before, bool)
        for state in states:
            removed |= state == _REMOVED
            unknown |= state == _UNKNOWN
        return None if (unknown & ~removed).any() else ~removed

    def _learn(self, factors: Factors, axis: int, kept: Flags) -> None:
        along = sorted((f for f in factors if f.axes == (axis,)), key=lambda f: -f.level)
        for factor in along:
            roots = self._deps.roots[factor.labels]
            gone, stays = np.unique(roots[~kept]), np.unique(roots[kept])
            if factor.level and np.intersect1d(gone, stays).size:
                self._state[np.unique(roots)] = _KEPT  # not whole rows, so elements inside them
                continue
            self._state[gone] = _REMOVED
            self._state[stays] = _KEPT
            kept = np.ones_like(kept)

    def _explains(self, removed: Flags) -> bool:
        """Tell whether every weight of the file is what the cut leaves of the original's."""
        for key, old, new in self._pairs():
            factors = self._deps.ctx.sources[key]
            try:
                cut = ParameterCut(key, old.shape, factors, removed)
                expected = cut(old)
            except PlanMismatchError:
                return False
            if expected.shape != new.shape or expected.tobytes() != new.tobytes():
                return False
        return True


def _matched(old: np.ndarray, new: np.ndarray, axis: int) -> Flags | None:
    """Return which slices of `old` are in `new`, in order; None when that is not certain."""
    rows = [row.tobytes() for row in np.moveaxis(old, axis, 0)]
    if len(set(rows)) != len(rows):
        return None
    place = {row: i for i, row in enumerate(rows)}
    found = [place.get(row.tobytes(), -1) for row in np.moveaxis(new, axis, 0)]
    if -1 in found or found != sorted(found):
        return None
    kept = np.zeros(len(rows), bool)
    kept[found] = True
    return kept
