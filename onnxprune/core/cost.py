"""Count parameters, bytes and multiply-accumulates of a graph, before and after a cut."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto

from onnxprune.core.branches import readers_of
from onnxprune.core.cuts import Cuts
from onnxprune.core.graph import PER_INDEX_TYPES
from onnxprune.core.macs import Term, mac_terms

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from numpy.typing import NDArray

    from onnxprune.core.dependencies import Dependencies
    from onnxprune.core.graph import Graph, Node

    Size = Callable[[str, int], int]
    _Entry = tuple[str, int, int]

_BITS: dict[int, int] = {
    TensorProto.FLOAT: 32, TensorProto.DOUBLE: 64, TensorProto.FLOAT16: 16,
    TensorProto.BFLOAT16: 16, TensorProto.INT32: 32, TensorProto.INT16: 16,
    TensorProto.UINT16: 16, TensorProto.INT4: 4, TensorProto.UINT4: 4,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cost:
    """Totals of a model at its probe sizes.

    Attributes:
        macs: multiply-accumulates of one run.
        params: elements of all weights.
        bytes: bytes of all weights.
    """

    macs: int
    params: int
    bytes: int


class CostModel:
    """Counts the cost of a model under any cut.

    Args:
        deps: the analysis.
        copies: copied vectors and their originals: a copy counts when it is cut differently.
    """

    def __init__(self, deps: Dependencies, copies: Mapping[str, str] | None = None) -> None:
        self._copies = copies or {}
        self._deps = deps
        self._shapes = deps.settings[0]
        self._graphs = [(g, self._terms(g)) for g in deps.graph.walk()]
        self._terms_of = {id(g): t for g, t in self._graphs}
        self._holders_of = {id(g): [n for n in g.nodes if n.bodies] for g, _ in self._graphs}
        self._family = {*self._copies, *self._copies.values()}
        self._fixed: list[_Entry] = []
        self._readers = readers_of(deps)
        self._variable: list[_Entry] = []
        for key, parameter in deps.ctx.parameters.items():
            if parameter.dtype not in PER_INDEX_TYPES:
                continue
            bits = _BITS.get(parameter.dtype, 8)
            if deps.ctx.sources.get(key):
                self._variable.append((key, len(parameter.shape), bits))
            else:
                count = math.prod(parameter.shape)
                self._fixed.append((key, count, bits))

    def _rank(self, key: str) -> int | None:
        shape = self._shapes.shape(key)
        return None if shape is None else len(shape)

    def _terms(self, graph: Graph) -> list[Term]:
        terms = [t for node in graph.nodes for t in mac_terms(node, self._rank)]
        return [t.reduced(self._deps.ctx, self._shapes) for t in terms]

    def of(self, removed: NDArray[np.bool_] | None = None, *, dead: Collection[int] = ()) -> Cost:
        """Return the cost with some labels removed (none by default).

        Args:
            removed: one flag per label.
            dead: numbers of nodes of the main graph that leave as wholes.
        """
        if removed is None:
            removed = np.zeros(len(self._deps.roots), bool)
        cuts = Cuts(self._deps.ctx, removed, self._shapes)
        params = size_bits = 0
        stored: set[tuple[str, bytes]] = set()
        for key, count, bits in self._alive(self._fixed, dead):
            if not self._again(stored, key, b""):
                params += count
                size_bits += count * bits
        for key, rank, bits in self._alive(self._variable, dead):
            if key in self._family and self._again(stored, key, self._cut(key, removed)):
                continue
            count = math.prod(cuts.size(key, axis) for axis in range(rank))
            params += count
            size_bits += count * bits
        return Cost(self._macs(self._deps.graph, cuts, dead), params, size_bits // 8)

    def _alive(self, entries: list[_Entry], dead: Collection[int]) -> list[_Entry]:
        """Return the parameters that do not leave with all their readers."""
        if not dead:
            return entries
        gone = {k for k, readers in self._readers.items() if all(n in dead for n in readers)}
        return [e for e in entries if e[0] not in gone]

    def _again(self, stored: set[tuple[str, bytes]], key: str, cut: bytes) -> bool:
        """Tell whether a copied vector is stored already: of those cut alike one is."""
        if key not in self._family:
            return False
        mine = (self._copies.get(key, key), cut)
        seen = mine in stored
        stored.add(mine)
        return seen

    def _cut(self, key: str, removed: NDArray[np.bool_]) -> bytes:
        sources = self._deps.ctx.sources.get(key, ())
        flags = [removed[f.labels] for f in sources] or [np.zeros((), bool)]
        cut = np.logical_or.reduce(flags)
        return bytes(cut.tobytes()) if cut.any() else b""

    def _macs(self, graph: Graph, cuts: Cuts, dead: Collection[int] = ()) -> int:
        terms = self._terms_of[id(graph)]
        total = sum(t.count(cuts) for t in terms if t.node.index not in dead)
        for node in self._holders_of[id(graph)]:
            if node.index in dead:
                continue
            inner = [self._macs(body, cuts) for body in node.bodies.values()]
            if node.op == "If":
                total += max(inner, default=0)
            elif inner:
                total += sum(inner) * self._trips(node)
        return total

    def _trips(self, node: Node) -> int:
        if node.op == "Loop":
            known = self._shapes.known.get(node.inputs[0]) if node.inputs[0] else None
            return max(1, int(known.item())) if known is not None and known.size == 1 else 1
        if node.op == "Scan":
            count = int(node.attribute("num_scan_inputs", 0))
            axes = node.attribute("scan_input_axes", [0] * count)
            key = node.inputs[len(node.inputs) - count] if count else ""
            shape = self._shapes.shape(key)
            return shape[axes[0]] if shape else 1
        return 1

    def by_node(self, removed: NDArray[np.bool_], *, dead: Collection[int] = ()) -> dict[str, int]:
        """Return multiply-accumulates by node (scope and name) under a cut, 0 for dead ones."""
        cuts = Cuts(self._deps.ctx, removed, self._shapes)
        found: dict[str, int] = {}
        for _, terms in self._graphs:
            for term in terms:
                name = f"{term.node.scope}{term.node.name}"
                gone = not term.node.scope and term.node.index in dead
                found[name] = found.get(name, 0) + (0 if gone else term.count(cuts))
        return found
