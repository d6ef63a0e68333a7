"""Count parameters, bytes and multiply-accumulates of a graph, before and after a cut."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto

from onnxprune.core.cuts import Cuts
from onnxprune.core.graph import PER_INDEX_TYPES
from onnxprune.core.macs import Term, mac_terms

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from onnxprune.core.dependencies import Dependencies
    from onnxprune.core.graph import Graph, Node

    Size = Callable[[str, int], int]

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
        self._fixed_params = self._fixed_bits = 0
        self._variable: list[tuple[str, int, int]] = []
        for key, parameter in deps.ctx.parameters.items():
            if parameter.dtype not in PER_INDEX_TYPES:
                continue
            bits = _BITS.get(parameter.dtype, 8)
            if deps.ctx.sources.get(key):
                self._variable.append((key, len(parameter.shape), bits))
            else:
                count = math.prod(parameter.shape)
                self._fixed_params += count
                self._fixed_bits += count * bits

    def _rank(self, key: str) -> int | None:
        shape = self._shapes.shape(key)
        return None if shape is None else len(shape)

    def _terms(self, graph: Graph) -> list[Term]:
        terms = [t for node in graph.nodes for t in mac_terms(node, self._rank)]
        return [t.reduced(self._deps.ctx, self._shapes) for t in terms]

    def of(self, removed: NDArray[np.bool_] | None = None) -> Cost:
        """Return the cost with some labels removed (none by default)."""
        if removed is None:
            removed = np.zeros(len(self._deps.roots), bool)
        cuts = Cuts(self._deps.ctx, removed, self._shapes)
        params, size_bits = self._fixed_params, self._fixed_bits
        for key, rank, bits in self._variable:
            if self._merged(key, removed):
                continue
            count = math.prod(cuts.size(key, axis) for axis in range(rank))
            params += count
            size_bits += count * bits
        return Cost(self._macs(self._deps.graph, cuts), params, size_bits // 8)

    def _merged(self, key: str, removed: NDArray[np.bool_]) -> bool:
        """Tell whether a copied vector is cut as its original, so that one of them is stored."""
        original = self._copies.get(key)
        if original is None:
            return False
        sources, nothing = self._deps.ctx.sources, np.zeros((), bool)
        own, other = (
            np.logical_or.reduce([removed[f.labels] for f in sources.get(k, ())] or [nothing])
            for k in (key, original)
        )
        return bool((own == other).all())

    def _macs(self, graph: Graph, cuts: Cuts) -> int:
        total = sum(t.count(cuts) for t in self._terms_of[id(graph)])
        for node in self._holders_of[id(graph)]:
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

    def by_node(self, removed: NDArray[np.bool_]) -> dict[str, int]:
        """Return multiply-accumulates by node (scope and name) under a cut."""
        cuts = Cuts(self._deps.ctx, removed, self._shapes)
        found: dict[str, int] = {}
        for _, terms in self._graphs:
            for term in terms:
                name = f"{term.node.scope}{term.node.name}"
                found[name] = found.get(name, 0) + term.count(cuts)
        return found
