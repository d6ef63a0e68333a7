"""Choose where consumers should drop channels of their own: where that is better than pruning less.

Freeing the consumers of a stream loses less of what they read and takes more time. Pruning a little
less everywhere does the same. So both are put into one currency: a segment is set free if what it
saves for its time is more than what a smaller ratio would save. What is lost is the share of the
weights that read what leaves, as squared norms; time is predicted from the table of costs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np

from onnxprune.analysis.expansion import expand
from onnxprune.core.labels import UnionFind
from onnxprune.costs import DefaultCosts
from onnxprune.criteria import ScoreContext, find_criterion
from onnxprune.planning.latency import LatencyModel, find_edges
from onnxprune.planning.padding import Padding

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from onnxprune.allocation import Target
    from onnxprune.analysis import Analysis
    from onnxprune.core.dependencies import Dependencies, Group
    from onnxprune.costs import LayerCosts

    Flags = NDArray[np.bool_]

_LESS = 0.9
"""Share of the ratio that gives the price of time."""


def choose_forks(
    analysis: Analysis, target: Target, *, costs: LayerCosts | None = None
) -> tuple[str, ...]:
    """Return the values whose consumers should drop channels of their own.

    Args:
        analysis: the constrained analysis.
        target: what to remove; a budget is taken for the ratio that reaches it about.
        costs: what layers and copies cost, by default about that of the CPU provider.
    """
    free = expand(analysis)
    segments = _segments(free)
    if not segments:
        return ()
    ratio = _ratio(target, analysis.model.size_bytes)
    trial = _Trial(free, costs or DefaultCosts())
    base = trial.of(ratio, ())
    less = trial.of(ratio * _LESS, ())
    price = (base.loss - less.loss) / max(less.time - base.time, 1e-9)
    chosen: list[str] = []
    for segment in segments:
        found = trial.of(ratio, segment.groups)
        if base.loss - found.loss > price * max(found.time - base.time, 0.0):
            chosen += segment.values
    return tuple(value for value in free.forks if value in set(chosen))


def _ratio(target: Target, size_bytes: int) -> float:
    """Return the share of every group that about meets a target (most cost is quadratic in it)."""
    if target.metric == "ratio":
        return target.amount
    kept = target.amount / size_bytes if target.metric == "bytes" else 1 - target.amount
    return float(np.clip(1 - np.sqrt(max(kept, 0.0)), 0.02, 0.95))


@dataclass(frozen=True, slots=True)
class _Segment:
    """Values whose consumers depend on each other.

    Attributes:
        values: their names.
        groups: the groups that consumers choose from.
    """

    values: tuple[str, ...]
    groups: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Outcome:
    loss: float
    time: float


def _segments(free: Analysis) -> list[_Segment]:
    deps = free.deps
    owner = {int(a): g for g in deps.groups for a in g.atoms}
    graph: nx.Graph[tuple[str, str]] = nx.Graph()
    for edge in find_edges(deps):
        graph.add_node(("value", edge.value))
        for root in np.unique([*edge.above, *edge.below]).tolist():
            if root in owner:
                graph.add_edge(("value", edge.value), ("group", owner[root].id))
    following = {g.id for g in deps.groups if g.follows}
    found = []
    for nodes in nx.connected_components(graph):
        values = {name for kind, name in nodes if kind == "value"}
        groups = {name for kind, name in nodes if kind == "group"} - following
        ordered = tuple(v for v in free.forks if v in values)
        found.append(_Segment(ordered, frozenset(groups)))
    return sorted(found, key=lambda s: free.forks.index(s.values[0]))


class _Trial:
    """What is lost, and the time that remains, with some segments free and all others tied."""

    def __init__(self, free: Analysis, costs: LayerCosts) -> None:
        self._deps: Dependencies = free.deps
        self._model = LatencyModel(free.deps, costs)
        context = ScoreContext(free.deps, free.model.array)
        score = find_criterion("l2", samples=False).function
        self._groups = [g for g in free.deps.groups if not g.follows and g.exact and not g.level]
        self._weight = np.zeros(len(free.deps.roots))
        for group in self._groups:
            energy = np.square(np.asarray(score(context, group)))
            self._weight[group.atoms] = energy / max(float(energy.sum()), 1e-30)
        self._column = self._columns()

    def _columns(self) -> NDArray[np.int64]:
        """Return for every label set the channel that it is part of without Selects."""
        hierarchy = self._deps.hierarchy
        assert hierarchy is not None
        links = UnionFind()
        links.fresh(len(self._deps.roots))
        links.unite(hierarchy.above, hierarchy.below)
        return links.find(np.arange(len(self._deps.roots)))

    def of(self, ratio: float, free: Collection[str]) -> _Outcome:
        """Return the outcome at a ratio, where the groups named are free."""
        atoms = [self._lowest(g.atoms, self._weight[g.atoms], ratio)
                 for g in self._groups if g.id in free]  # fmt: skip
        atoms += self._tied([g for g in self._groups if g.id not in free], ratio)
        removed = self._deps.removed_labels(np.concatenate([np.zeros(0, np.int64), *atoms]))
        cut = Padding(self._deps, self._model, removed).cheapest()
        chosen = np.concatenate([np.zeros(0, np.int64), *atoms])
        return _Outcome(float(self._weight[chosen].sum()), self._model.total(cut))

    def _tied(self, groups: list[Group], ratio: float) -> list[NDArray[np.int64]]:
        """Remove whole channels of groups that have them in common."""
        members: dict[int, list[tuple[int, int]]] = {}
        for number, group in enumerate(groups):
            for atom in group.atoms.tolist():
                members.setdefault(int(self._column[atom]), []).append((number, atom))
        alike: dict[tuple[int, ...], list[list[int]]] = {}
        for places in members.values():
            atoms = [atom for _, atom in places]
            alike.setdefault(tuple(sorted({n for n, _ in places})), []).append(atoms)
        found = []
        for columns in alike.values():
            values = np.array([self._weight[c].sum() for c in columns])
            lowest = self._lowest(np.arange(len(columns)), values, ratio)
            found += [np.array(columns[number]) for number in lowest.tolist()]
        return found

    @staticmethod
    def _lowest(
        atoms: NDArray[np.int64], values: NDArray[np.float64], ratio: float
    ) -> NDArray[np.int64]:
        return atoms[np.argsort(values, kind="stable")[: int(ratio * len(atoms))]]
