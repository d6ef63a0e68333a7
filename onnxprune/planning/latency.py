"""Predict the time of a cut network, from a table of costs, to compare layouts of one plan."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.core.cuts import Cuts
from onnxprune.core.graph import INTERNAL, SELECT
from onnxprune.core.macs import mac_terms
from onnxprune.core.selects import selects

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from onnxprune.core.dependencies import Dependencies
    from onnxprune.core.graph import Node
    from onnxprune.core.labels import LabelArray
    from onnxprune.core.macs import Term
    from onnxprune.planning.costs import CopyCosts

    Flags = NDArray[np.bool_]

_FREE = frozenset("Constant Flatten Identity Reshape Shape Size Squeeze Unsqueeze Dropout".split())


@dataclass(frozen=True, slots=True, eq=False)
class Edge:
    """A Select with the label sets on both of its sides, index by index.

    Attributes:
        node: the Select.
        axis: axis of the channels.
        above: sets of the value.
        below: sets of what the consumer reads.
        positions: elements per channel.
    """

    node: Node
    axis: int
    above: LabelArray
    below: LabelArray
    positions: int

    @property
    def value(self) -> str:
        """Key of the value."""
        return self.node.inputs[0]

    def missing(self, cut: Flags) -> NDArray[np.bool_]:
        """Return which indices the value keeps and the consumer does not."""
        return np.asarray(~cut[self.above] & cut[self.below])


def find_edges(deps: Dependencies) -> list[Edge]:
    """Return the Selects at which a consumer may lose channels of its own."""
    found = []
    for node in selects(deps):
        axis = int(node.attribute("axis"))
        sides = []
        for key in (node.inputs[0], node.outputs[0]):
            factors = [f for f in deps.ctx.factors_of.get(key, ()) if f.axes == (axis,)]
            sides += [deps.roots[f.labels] for f in factors if not f.level]
        shape = deps.ctx.shape(node.inputs[0]) or ()
        if len(sides) == 2 and not np.array_equal(sides[0], sides[1]):
            positions = int(np.prod(shape, dtype=np.int64)) // max(shape[axis], 1)
            found.append(Edge(node, axis, sides[0], sides[1], positions))
    return found


class LatencyModel:
    """Time of a network under any cut, in nanoseconds.

    Args:
        deps: the analysis.
        costs: the table.
    """

    def __init__(self, deps: Dependencies, costs: CopyCosts) -> None:
        self._deps, self._costs = deps, costs
        self._shapes = deps.settings[0]
        self.edges = find_edges(deps)
        self._terms: list[tuple[Term, float]] = []
        self._written: list[tuple[float, tuple[tuple[str, int], ...]]] = []
        for node in deps.graph.nodes:
            self._add(node)

    def _rank(self, key: str) -> int | None:
        shape = self._shapes.shape(key)
        return None if shape is None else len(shape)

    def _add(self, node: Node) -> None:
        costs, ctx = self._costs, self._deps.ctx
        grouped = int(node.attribute("group", 1) or 1) > 1
        terms = mac_terms(node, self._rank)
        for term in terms:
            price = costs.grouped_mac_ns if grouped else costs.mac_ns
            self._terms.append((term.reduced(ctx, self._shapes), price))
        if terms or node.op in _FREE or (node.op == SELECT and node.domain == INTERNAL):
            return
        for key in node.outputs:
            shape = self._shapes.shape(key) or ()
            labelled = {f.axes[-1] for f in ctx.factors_of.get(key, ())}
            if labelled:
                fixed = float(np.prod([s for a, s in enumerate(shape) if a not in labelled]))
                axes = tuple((key, a) for a in sorted(labelled))
                self._written.append((fixed * costs.element_ns, axes))

    def work(self, cut: Flags) -> float:
        """Return the time of everything but copies."""
        cuts = Cuts(self._deps.ctx, cut[self._deps.roots], self._shapes)
        total = sum(term.count(cuts) * price for term, price in self._terms)
        for price, axes in self._written:
            total += price * math.prod(cuts.size(key, axis) for key, axis in axes)
        return total

    def copies(self, cut: Flags) -> dict[tuple[str, bytes], list[Edge]]:
        """Return the Selects that need a copy, those together that share one."""
        found: dict[tuple[str, bytes], list[Edge]] = {}
        for edge in self.edges:
            if edge.missing(cut).any():
                found.setdefault((edge.value, cut[edge.below].tobytes()), []).append(edge)
        return found

    def copy_time(self, edge: Edge, cut: Flags) -> float:
        """Return the time of the copy that a Select needs."""
        count = int(np.count_nonzero(~cut[edge.below]))
        return self._costs.copy_ns(count * edge.positions, contiguous=False)

    def join_time(self, output: str, edges: list[Edge], cut: Flags) -> float:
        """Return the time of one copy behind a concatenation instead of one for every operand."""
        cuts = Cuts(self._deps.ctx, cut[self._deps.roots], self._shapes)
        wanted = math.prod(cuts.shape(output))
        more = sum(int(e.missing(cut).sum()) * e.positions for e in edges)
        return self._costs.copy_ns(wanted, contiguous=False) + more * self._costs.element_ns

    def total(self, cut: Flags) -> float:
        """Return the time of the network with the copies that it needs."""
        shared = self.copies(cut).values()
        return self.work(cut) + sum(self.copy_time(edges[0], cut) for edges in shared)
