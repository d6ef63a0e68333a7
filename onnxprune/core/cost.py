"""Count parameters, bytes and multiply-accumulates of a graph, before and after a cut."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto

from onnxprune.core.cuts import Cuts
from onnxprune.core.graph import PER_INDEX_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from onnxprune.core.context import LabelContext
    from onnxprune.core.dependencies import Dependencies
    from onnxprune.core.graph import Graph, Node
    from onnxprune.core.shapes import Shapes

    Size = Callable[[str, int], int]

_BITS: dict[int, int] = {
    TensorProto.FLOAT: 32, TensorProto.DOUBLE: 64, TensorProto.FLOAT16: 16,
    TensorProto.BFLOAT16: 16, TensorProto.INT32: 32, TensorProto.INT16: 16,
    TensorProto.UINT16: 16, TensorProto.INT4: 4, TensorProto.UINT4: 4,
}  # fmt: skip
_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


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


@dataclass(frozen=True, slots=True)
class Term:
    """Multiply-accumulates of one node: a product of sizes."""

    node: Node
    axes: tuple[tuple[str, int], ...]
    factor: int = 1

    def reduced(self, ctx: LabelContext, shapes: Shapes) -> Term:
        """Return the same product with the sizes that no cut can change multiplied out."""
        factor, variable = self.factor, []
        for key, axis in self.axes:
            if any(f.axes[-1] == axis for f in ctx.factors_of.get(key, ())):
                variable.append((key, axis))
            else:
                factor *= (shapes.shape(key) or ())[axis]
        return Term(self.node, tuple(variable), factor)

    def count(self, cuts: Cuts) -> int:
        """Return the node's multiply-accumulates under a cut."""
        total = self.factor
        for key, axis in self.axes:
            total *= cuts.size(key, axis)
        return total


def mac_terms(node: Node, rank: Callable[[str], int | None]) -> list[Term]:
    """Return the products whose sum is the node's multiply-accumulates (none if it has no weight).

    A convolution counts output elements times kernel elements per output, a matrix product output
    elements times the summed size; biases, activations and pooling are not counted.
    """

    def all_axes(key: str, start: int = 0) -> tuple[tuple[str, int], ...]:
        return tuple((key, a) for a in range(start, rank(key) or 0))

    if node.domain or any(rank(k) is None for k in (*node.inputs, *node.outputs[:1]) if k):
        return []
    match node.op:
        case "Conv" | "ConvInteger" | "DeformConv":
            return [Term(node, (*all_axes(node.outputs[0]), *all_axes(node.inputs[1], 1)))]
        case "QLinearConv":
            return [Term(node, (*all_axes(node.outputs[0]), *all_axes(node.inputs[3], 1)))]
        case "ConvTranspose":
            return [Term(node, (*all_axes(node.inputs[0]), *all_axes(node.inputs[1], 1)))]
        case "MatMul" | "MatMulInteger" | "QLinearMatMul":
            left = node.inputs[0]
            inner = (left, (rank(left) or 1) - 1)
            return [Term(node, (*all_axes(node.outputs[0]), inner))]
        case "Gemm":
            inner = (node.inputs[0], 0 if node.attribute("transA", 0) else 1)
            return [Term(node, (*all_axes(node.outputs[0]), inner))]
        case "Einsum":
            return _einsum(node, rank)
        case "CausalConvWithState":
            return [Term(node, (*all_axes(node.outputs[0]), (node.inputs[1], 2)))]
        case "Attention":  # scores, then their product with the values
            steps = [(node.inputs[1], (rank(node.inputs[1]) or 3) - 2)]
            steps += [(node.inputs[4], 2)] if node.input(4) else []
            sides = (node.inputs[0], node.outputs[0])
            return [Term(node, (*all_axes(side), step)) for side in sides for step in steps]
        case "LinearAttention" if node.output(1) and rank(node.outputs[1]):
            width = (node.outputs[1], 3)  # the state is corrected, written and read
            query, key = (all_axes(k) for k in node.inputs[:2])
            return [Term(node, (*key, width), 2), Term(node, (*query, width))]
        case "LSTM" | "GRU" | "RNN":
            x, w, r = node.inputs[:3]
            outer = ((x, 0), (x, 1))
            return [
                Term(node, (*outer, *all_axes(w))),
                Term(node, (*outer, *all_axes(r))),
            ]
        case _:
            return []


def _einsum(node: Node, rank: Callable[[str], int | None]) -> list[Term]:
    terms = str(node.attribute("equation")).replace(" ", "").partition("->")[0].split(",")
    places: dict[str, tuple[str, int]] = {}
    for key, term in zip(node.inputs, terms, strict=True):
        size = rank(key) or 0
        head, dots, tail = term.partition("...")
        for i, letter in enumerate(head):
            places.setdefault(letter, (key, i))
        for i, letter in enumerate(reversed(tail)):
            places.setdefault(letter, (key, size - 1 - i))
        if dots:
            for i in range(len(head), size - len(tail)):
                places.setdefault(f"...{i}", (key, i))
    return [Term(node, tuple(places.values()))] if len(terms) > 1 else []


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
        sources = self._deps.ctx.sources
        cuts = [
            np.logical_or.reduce([removed[f.labels] for f in sources.get(k, ())] or [np.False_])
            for k in (key, original)
        ]
        return bool(np.array_equal(*np.broadcast_arrays(*cuts)))

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
