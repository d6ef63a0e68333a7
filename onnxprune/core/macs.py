"""Multiply-accumulates of an operator, as products of sizes that a cut changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from onnxprune.core.registry import MACS, macs

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
    count = MACS.lookup(node.op, node.domain, node.since)
    if count is None or any(rank(k) is None for k in (*node.inputs, *node.outputs[:1]) if k):
        return []
    terms: list[Term] = count(node, rank)
    return terms


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


def axes_from(rank: Rank, key: str, start: int = 0) -> Axes:
    """Return the axes of a value from `start` on."""
    return tuple((key, a) for a in range(start, rank(key) or 0))


def convolution_macs(weight: int) -> Callable[[Node, Rank], list[Term]]:
    """Return a function that counts a convolution whose weight stands at an input."""

    def count(node: Node, rank: Rank) -> list[Term]:
        kernel = axes_from(rank, node.inputs[weight], 1)
        return [Term(node, (*axes_from(rank, node.outputs[0]), *kernel))]

    return count


@macs("ConvTranspose")
def _transposed(node: Node, rank: Rank) -> list[Term]:
    return [Term(node, (*axes_from(rank, node.inputs[0]), *axes_from(rank, node.inputs[1], 1)))]


@macs("MatMul", "MatMulInteger", "QLinearMatMul")
def product_macs(node: Node, rank: Rank) -> list[Term]:
    """Count a product whose left operand is input 0 and has the summed axis last."""
    left = node.inputs[0]
    return [Term(node, (*axes_from(rank, node.outputs[0]), (left, (rank(left) or 1) - 1)))]


@macs("Gemm")
def gemm_macs(node: Node, rank: Rank) -> list[Term]:
    """Count a product of matrices that may be transposed."""
    inner = (node.inputs[0], 0 if node.attribute("transA", 0) else 1)
    return [Term(node, (*axes_from(rank, node.outputs[0]), inner))]


@macs("LSTM", "GRU", "RNN")
def recurrent_macs(node: Node, rank: Rank) -> list[Term]:
    """Count the gates of all steps: inputs 1 and 2 are the weights."""
    steps = ((node.inputs[0], 0), (node.inputs[0], 1))
    return [Term(node, (*steps, *axes_from(rank, weight))) for weight in node.inputs[1:3]]


@macs("Attention")
def _attention(node: Node, rank: Rank) -> list[Term]:
    """Count the scores, and their product with the values."""
    steps = [(node.inputs[1], (rank(node.inputs[1]) or 3) - 2)]
    if node.input(4):
        steps.append((node.inputs[4], 2))
    sides = (node.inputs[0], node.outputs[0])
    return [Term(node, (*axes_from(rank, side), step)) for side in sides for step in steps]


@macs("LinearAttention")
def _linear_attention(node: Node, rank: Rank) -> list[Term]:
    """Count what writes, corrects and reads the state."""
    if not node.output(1) or not rank(node.outputs[1]):
        return []
    query, key = (axes_from(rank, k) for k in node.inputs[:2])
    width = (node.outputs[1], 3)
    return [Term(node, (*key, width), 2), Term(node, (*query, width))]


@macs("Einsum")
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


macs("CausalConvWithState", "Conv", "ConvInteger", "DeformConv")(convolution_macs(1))
macs("QLinearConv")(convolution_macs(3))
