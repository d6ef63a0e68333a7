"""Multiply-accumulates of an operator, as products of sizes that a cut changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnxprune.core.context import LabelContext
    from onnxprune.core.cuts import Cuts
    from onnxprune.core.graph import Graph, Node
    from onnxprune.core.shapes import Shapes

Rank = Callable[[str], int | None]
Axes = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Term:
    """Multiply-accumulates of one node: a product of sizes."""

    node: Node
    axes: Axes
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


def mac_terms(node: Node, rank: Rank) -> list[Term]:
    """Return the products whose sum is the node's multiply-accumulates (none if it has no weight).

    A convolution counts output elements times kernel elements per output, a matrix product output
    elements times the summed size; biases, activations and pooling are not counted.
    """
    count = _COUNTED.get(node.op) if not node.domain else None
    if count is None or any(rank(k) is None for k in (*node.inputs, *node.outputs[:1]) if k):
        return []
    return count(node, rank)


def macs_by_node(graph: Graph, shapes: Shapes) -> dict[str, int]:
    """Return multiply-accumulates by node's name: bodies of loops once, and all branches.

    Args:
        graph: the graph.
        shapes: the sizes to count at.
    """

    def rank(key: str) -> int | None:
        shape = shapes.shape(key)
        return None if shape is None else len(shape)

    found: dict[str, int] = {}
    for node in graph.all_nodes():
        for term in mac_terms(node, rank):
            sizes = [(shapes.shape(key) or ())[axis] for key, axis in term.axes]
            found[node.name] = found.get(node.name, 0) + prod(sizes) * term.factor
    return found


def _axes(rank: Rank, key: str, start: int = 0) -> Axes:
    return tuple((key, a) for a in range(start, rank(key) or 0))


def _convolution(weight: int) -> Callable[[Node, Rank], list[Term]]:
    def count(node: Node, rank: Rank) -> list[Term]:
        kernel = _axes(rank, node.inputs[weight], 1)
        return [Term(node, (*_axes(rank, node.outputs[0]), *kernel))]

    return count


def _transposed(node: Node, rank: Rank) -> list[Term]:
    return [Term(node, (*_axes(rank, node.inputs[0]), *_axes(rank, node.inputs[1], 1)))]


def _product(node: Node, rank: Rank) -> list[Term]:
    left = node.inputs[0]
    return [Term(node, (*_axes(rank, node.outputs[0]), (left, (rank(left) or 1) - 1)))]


def _gemm(node: Node, rank: Rank) -> list[Term]:
    inner = (node.inputs[0], 0 if node.attribute("transA", 0) else 1)
    return [Term(node, (*_axes(rank, node.outputs[0]), inner))]


def _recurrent(node: Node, rank: Rank) -> list[Term]:
    steps = ((node.inputs[0], 0), (node.inputs[0], 1))
    return [Term(node, (*steps, *_axes(rank, weight))) for weight in node.inputs[1:3]]


def _attention(node: Node, rank: Rank) -> list[Term]:
    """Count the scores, and their product with the values."""
    steps = [(node.inputs[1], (rank(node.inputs[1]) or 3) - 2)]
    if node.input(4):
        steps.append((node.inputs[4], 2))
    sides = (node.inputs[0], node.outputs[0])
    return [Term(node, (*_axes(rank, side), step)) for side in sides for step in steps]


def _linear_attention(node: Node, rank: Rank) -> list[Term]:
    """Count what writes, corrects and reads the state."""
    if not node.output(1) or not rank(node.outputs[1]):
        return []
    query, key = (_axes(rank, k) for k in node.inputs[:2])
    width = (node.outputs[1], 3)
    return [Term(node, (*key, width), 2), Term(node, (*query, width))]


def _einsum(node: Node, rank: Rank) -> list[Term]:
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


_COUNTED: dict[str, Callable[[Node, Rank], list[Term]]] = {
    "Attention": _attention,
    "CausalConvWithState": _convolution(1),
    "Conv": _convolution(1),
    "ConvInteger": _convolution(1),
    "ConvTranspose": _transposed,
    "DeformConv": _convolution(1),
    "Einsum": _einsum,
    "GRU": _recurrent,
    "Gemm": _gemm,
    "LSTM": _recurrent,
    "LinearAttention": _linear_attention,
    "MatMul": _product,
    "MatMulInteger": _product,
    "QLinearConv": _convolution(3),
    "QLinearMatMul": _product,
    "RNN": _recurrent,
}
