"""Choose where consumers should drop channels of their own, without any samples.

Freeing the consumers of a stream loses less of what they read, and may take more time. How much a
loss of weights means for accuracy is not known here, so time comes first: both couplings meet the
target, the faster one by prediction sets the time, and streams are set free as long as that is kept
to, those first that save most for their time. Less is lost for more time without any freedom, too,
by removing less; a stream that saves less for its time than that on average stays as it is. What
is lost is the share of the weights that read what leaves, as squared norms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np

from onnxprune.allocation import Target
from onnxprune.core.labels import UnionFind
from onnxprune.core.symmetry import find_streams
from onnxprune.costs import DefaultCosts
from onnxprune.criteria import ScoreContext, find_criterion
from onnxprune.planning.edges import find_edges
from onnxprune.planning.latency import LatencyModel
from onnxprune.planning.padding import Padding
from onnxprune.planning.selection import Settings, what_remains
from onnxprune.planning.steps import eased

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from onnxprune.analysis import Analysis
    from onnxprune.core.dependencies import Dependencies
    from onnxprune.costs import LayerCosts

    Flags = NDArray[np.bool_]

CLEARLY = 0.03
"""Share of a predicted time by which another has to be longer to count as longer."""

_MOST = 0.95
_CLOSE = 0.002
"""Shares are found to within this."""


def choose_forks(
    free: Analysis, target: Target, *, step: int = 1, costs: LayerCosts | None = None
) -> tuple[str, ...]:
    """Return the values whose consumers should drop channels of their own.

    Args:
        free: the unconstrained analysis.
        target: what to remove.
        step: what is kept of a group is a multiple of this.
        costs: what layers and copies cost, by default about that of the CPU provider.
    """
    segments = find_segments(free)
    if not segments:
        return ()
    trial = Trial(free, costs or DefaultCosts(), target, step=step)
    base, whole = trial.of([]), trial.of(segments)
    limit = min(base.time, whole.time) * (1 + CLEARLY)
    rate = trial.rate(base)
    if base.time > limit or (whole.time <= limit and whole.worth(rate) <= base.worth(rate)):
        return free.forks
    alone = [trial.of([segment]) for segment in segments]
    prices = [(_price(o, base), n) for n, o in enumerate(alone) if o.loss < base.loss]
    chosen: list[Segment] = []
    best = base
    for _, number in sorted(prices):
        found = trial.of([*chosen, segments[number]])
        if found.time <= limit and found.worth(rate) < best.worth(rate):
            chosen, best = [*chosen, segments[number]], found
    values = {v for segment in chosen for v in segment.values}
    return tuple(value for value in free.forks if value in values)


def constrained_us(
    free: Analysis, removed_params: float, costs: LayerCosts, *, step: int = 1
) -> float:
    """Return what a network takes by prediction if consumers lose channels together.

    Args:
        free: the unconstrained analysis.
        removed_params: share of the parameters that leaves.
        costs: what layers and copies cost.
        step: what is kept of a group is a multiple of this.
    """
    return Trial(free, costs, Target("params", removed_params), step=step).of([]).time


def _price(found: Outcome, base: Outcome) -> float:
    """Return the time for what is saved."""
    return (found.time - base.time) / (base.loss - found.loss)


@dataclass(frozen=True, slots=True)
class Segment:
    """Values whose consumers depend on each other.

    Attributes:
        values: their names.
        groups: the groups that consumers choose from.
        following: the groups of their values.
    """

    values: tuple[str, ...]
    groups: frozenset[str]
    following: frozenset[str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a choice of segments comes to.

    Attributes:
        loss: weights that are lost, as squared norms relative to those of their group.
        time: predicted, in microseconds.
    """

    loss: float
    time: float

    def worth(self, rate: float) -> float:
        """Return what is lost, with time at a rate of loss."""
        return self.loss + rate * self.time


@dataclass(frozen=True, slots=True, eq=False)
class _Unit:
    """Channels, or atoms of one group, that leave one after the other.

    Attributes:
        atoms: all atoms in that order.
        ends: how many of them leave with so many channels.
    """

    atoms: NDArray[np.int64]
    ends: NDArray[np.int64]


def find_segments(free: Analysis) -> list[Segment]:
    """Return the parts of an unconstrained analysis that may be free or tied on their own."""
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
        groups = frozenset(name for kind, name in nodes if kind == "group")
        ordered = tuple(v for v in free.forks if v in values)
        found.append(Segment(ordered, groups - following, groups & following))
    return sorted(found, key=lambda s: free.forks.index(s.values[0]))


class Trial:
    """What is lost, and the time that remains, with some segments free and all others tied.

    Args:
        free: the unconstrained analysis.
        costs: what layers and copies cost.
        target: what to remove.
        step: what is kept of a group is a multiple of this.
    """

    def __init__(self, free: Analysis, costs: LayerCosts, target: Target, *, step: int = 1) -> None:
        self._step = step
        self._free, self._target = free, target
        self._low, self._high = 0.0, _MOST
        self._deps: Dependencies = free.deps
        self._streams = find_streams(free.deps)
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

    def of(self, segments: Sequence[Segment]) -> Outcome:
        """Return what comes out where the target is met and some segments are free."""
        groups = frozenset[str]().union(*(s.groups for s in segments))
        chosen = self._chosen(self._units(groups))
        removed = self._deps.removed_labels(chosen)
        loss = float(self._weight[chosen].sum())
        if not segments:  # no copies, and nothing that may be rounded
            return Outcome(loss, self._model.total(removed))
        own = groups.union(*(s.following for s in segments))
        cut = Padding(self._deps, self._model, removed, own).cheapest(self._streams)
        return Outcome(loss, self._model.least(cut))

    def rate(self, base: Outcome) -> float:
        """Return what is lost for every microsecond that the tied network saves.

        Nothing where it saves hardly any: then time does not count.
        """
        saved = self._model.total(np.zeros(len(self._weight), bool)) - base.time
        return base.loss / saved if saved > CLEARLY * base.time else 0.0

    def _chosen(self, units: list[_Unit]) -> NDArray[np.int64]:
        """Return what leaves so that the target is met and hardly more.

        All units lose the same share, and some of them a little more: numbers of channels go in
        steps, and in many units at once those are too many.
        """
        if self._target.metric == "ratio":
            return self._leaving(units, self._target.amount)
        low, high = self._shares(units)
        few, many = 0, len(units)
        while many - few > 1:
            middle = (few + many) // 2
            if self._misses(self._leaving(units, high, middle, low)):
                few = middle
            else:
                many = middle
        return self._leaving(units, high, many, low)

    def _shares(self, units: list[_Unit]) -> tuple[float, float]:
        """Return shares around the one that meets the target, near those found before."""

        def misses(share: float) -> bool:
            return self._misses(self._leaving(units, share))

        if not (misses(self._low) and not misses(self._high)):
            self._low, self._high = 0.0, _MOST
        low, high = self._low, self._high
        while high - low > _CLOSE:
            middle = (low + high) / 2
            low, high = (middle, high) if misses(middle) else (low, middle)
        self._low, self._high = max(0.0, high - 16 * _CLOSE), min(_MOST, high + 16 * _CLOSE)
        return low, high

    def _misses(self, chosen: NDArray[np.int64]) -> bool:
        return self._left(self._target, self._deps.removed_labels(chosen)) > self._target.goal

    def _left(self, target: Target, removed: Flags) -> float:
        if target.metric != "latency":
            return what_remains(self._free, Settings(target), removed)
        return self._model.total(removed) / self._model.total(np.zeros_like(removed))

    def _units(self, free: Collection[str]) -> list[_Unit]:
        """Return the groups named, and for all others what they have in common, small ones first.

        An allocation takes steps in that order, too.
        """
        units = [
            _unit([[atom] for atom in g.atoms.tolist()], self._weight)
            for g in self._groups
            if g.id in free
        ]
        members: dict[int, list[tuple[int, int]]] = {}
        for number, group in enumerate(g for g in self._groups if g.id not in free):
            for atom in group.atoms.tolist():
                members.setdefault(int(self._column[atom]), []).append((number, atom))
        alike: dict[tuple[int, ...], list[list[int]]] = {}
        for places in members.values():
            atoms = [atom for _, atom in places]
            alike.setdefault(tuple(sorted({n for n, _ in places})), []).append(atoms)
        units += [_unit(columns, self._weight) for columns in alike.values()]
        return sorted(units, key=lambda unit: len(unit.ends))

    def _leaving(
        self, units: list[_Unit], share: float, count: int | None = None, others: float = 0.0
    ) -> NDArray[np.int64]:
        """Return what leaves where units lose a share, those from `count` on another."""
        found = [np.zeros(0, np.int64)]
        for number, unit in enumerate(units):
            mine = share if count is None or number < count else others
            size = len(unit.ends) - 1
            step = eased(self._step, size)
            kept = min(size, -(-(size - int(mine * size)) // step) * step)
            found.append(unit.atoms[: unit.ends[size - kept]])
        return np.concatenate(found)


def _unit(items: list[list[int]], weight: NDArray[np.float64]) -> _Unit:
    """Return items in the order of their weight."""
    values = np.array([weight[atoms].sum() for atoms in items])
    ordered = [items[number] for number in np.argsort(values, kind="stable").tolist()]
    ends = np.cumsum([0, *map(len, ordered)])
    return _Unit(np.array([a for atoms in ordered for a in atoms], np.int64), ends)
