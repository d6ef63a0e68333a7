"""How much of a model depends on each group, and how much no group reaches."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.core.graph import PER_INDEX_TYPES
from onnxprune.core.macs import mac_terms
from onnxprune.report.models import Split, Totals

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from onnxprune.analysis import Analysis
    from onnxprune.core.groups import Group


def labels_of(analysis: Analysis, groups: Iterable[Group]) -> NDArray[np.bool_]:
    """Return one flag per label: whether it belongs to any of the groups."""
    atoms = [g.atoms for g in groups]
    return analysis.deps.removed_labels(np.concatenate(atoms) if atoms else np.zeros(0, np.int64))


def totals(analysis: Analysis) -> Totals:
    """Divide parameters and multiply-accumulates into prunable, approximate and frozen.

    What would remain if every group left entirely is what no group reaches.
    """
    groups = analysis.deps.groups
    everything = analysis.cost()
    inexact = analysis.cost(labels_of(analysis, (g for g in groups if g.exact)))
    frozen = analysis.cost(labels_of(analysis, groups))
    return Totals(
        params=_split(everything.params, inexact.params, frozen.params),
        macs=_split(everything.macs, inexact.macs, frozen.macs),
    )


def _split(everything: int, without_exact: int, without_any: int) -> Split:
    return Split(
        total=everything,
        prunable=everything - without_exact,
        approximate=without_exact - without_any,
        frozen=without_any,
    )


def dependents(analysis: Analysis) -> dict[str, tuple[int, int]]:
    """Return the parameters and multiply-accumulates that depend on each group.

    That is what would be gone if the group left entirely; a weight between two groups depends on
    both.
    """
    if any(node.bodies for node in analysis.deps.graph.nodes):
        return {g.id: _without(analysis, g) for g in analysis.deps.groups}
    counter = _Dependents(analysis)
    params, macs = counter.params(), counter.macs()
    return {g.id: (params[i], macs[i]) for i, g in enumerate(analysis.deps.groups)}


def _without(analysis: Analysis, group: Group) -> tuple[int, int]:
    before, after = analysis.cost(), analysis.cost(labels_of(analysis, [group]))
    return before.params - after.params, before.macs - after.macs


class _Dependents:
    """Counts for all groups in one pass over the graph; only for graphs without bodies."""

    def __init__(self, analysis: Analysis) -> None:
        self._deps = analysis.deps
        self._group_of = np.full(len(self._deps.roots), -1)
        for number, group in enumerate(self._deps.groups):
            self._group_of[group.atoms] = number
        self._lost: dict[tuple[str, int], dict[int, int]] = {}

    def params(self) -> dict[int, int]:
        """Return parameters by group."""
        found: Counter[int] = Counter()
        for key, parameter in self._deps.ctx.parameters.items():
            if parameter.dtype in PER_INDEX_TYPES:
                self._add(found, [(key, a) for a in range(len(parameter.shape))], 1)
        return found

    def macs(self) -> dict[int, int]:
        """Return multiply-accumulates by group."""
        found: Counter[int] = Counter()
        shapes = self._deps.settings[0]

        def rank(key: str) -> int | None:
            shape = shapes.shape(key)
            return None if shape is None else len(shape)

        for node in self._deps.graph.nodes:
            for term in mac_terms(node, rank):
                self._add(found, term.axes, term.factor)
        return found

    def _add(self, found: Counter[int], places: Sequence[tuple[str, int]], factor: int) -> None:
        """Add what a product of sizes loses with each of the groups that run along its axes."""
        sizes = [self._size(place) for place in places]
        lost = [self._lost_at(place) for place in places]
        whole = math.prod(sizes)
        for group in set().union(*lost):
            left = math.prod(s - n.get(group, 0) for s, n in zip(sizes, lost, strict=True))
            found[group] += (whole - left) * factor

    def _size(self, place: tuple[str, int]) -> int:
        key, axis = place
        shape = self._deps.settings[0].shape(key)
        assert shape is not None, "a value without a shape has no multiply-accumulates"
        return shape[axis]

    def _lost_at(self, place: tuple[str, int]) -> dict[int, int]:
        """Return how many indices of an axis leave with each group."""
        if place not in self._lost:
            key, axis = place
            found: dict[int, int] = {}
            for factor in self._deps.ctx.factors_of.get(key, ()):
                if factor.axes[-1] == axis:
                    # All rows keep equally many, so the first one tells.
                    row = factor.labels.reshape(-1, factor.labels.shape[-1])[0]
                    groups = self._group_of[self._deps.roots[row]]
                    numbers, counts = np.unique(groups[groups >= 0], return_counts=True)
                    found.update(zip(numbers.tolist(), counts.tolist(), strict=True))
            self._lost[place] = found
        return self._lost[place]
