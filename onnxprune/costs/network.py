"""What a whole network takes under a cut: times of its nodes, scaled as the table says.

A profile of the original gives every node its time in the network as it runs, with what the runtime
fused and with the caches as they are. A cut scales that time by the ratio of the table's times for
the layer's new and old widths; a node without a contraction scales with the elements it touches.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from onnx import TensorProto

from onnxprune.core.cuts import Cuts
from onnxprune.costs.layer import Layer, Widths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from onnxprune.core.dependencies import Dependencies
    from onnxprune.core.graph import Graph, Node
    from onnxprune.core.shapes import Shapes
    from onnxprune.costs.table import CostTable, Surface

    Size = Callable[[str, int], int]

__all__ = ["DTYPES", "NetworkCosts", "PricedNode", "layer_of", "layers_of", "price_network"]

DTYPES: dict[int, str] = {
    TensorProto.FLOAT: "float32",
    TensorProto.DOUBLE: "float64",
    TensorProto.FLOAT16: "float16",
}
_TOLD = ("auto_pad", "dilations", "output_padding", "pads", "strides")


@dataclass(frozen=True, slots=True, eq=False)
class PricedNode:
    """A node of a network and what is known of its time.

    Attributes:
        name: its name.
        us: its time in the original.
        surface: times over its widths, None for a node without a contraction.
        before: its widths in the original.
        values: values that it touches.
        elements: how many elements these have.
    """

    name: str
    us: float
    surface: Surface | None
    before: Widths
    values: tuple[str, ...]
    elements: int


@dataclass(slots=True, eq=False)
class NetworkCosts:
    """Says what a cut saves of a network's time.

    Attributes:
        shapes: sizes at which the network runs.
        nodes: what takes time.
        rest_us: time of what belongs to no node; it scales with all elements.
        factor: how much slower cuts were than predicted, corrected for.
    """

    shapes: Shapes
    nodes: tuple[PricedNode, ...]
    rest_us: float = 0.0
    factor: float = 1.0

    @property
    def total_us(self) -> float:
        """Time of the original."""
        return sum(n.us for n in self.nodes) + self.rest_us

    def ratio(self, deps: Dependencies, removed: NDArray[np.bool_]) -> float:
        """Return the time that remains under a cut, relative to the original.

        Args:
            deps: the analysis that the labels belong to.
            removed: one flag per label.
        """
        cuts = Cuts(deps.ctx, removed, self.shapes)
        by_name = {n.name: n for n in deps.graph.all_nodes()}
        kept_us = 0.0
        elements = whole = 0
        for node in self.nodes:
            left = _elements(node.values, self.shapes, cuts.size)
            elements, whole = elements + left, whole + node.elements
            share = left / node.elements if node.elements else 1.0
            if node.surface is not None:
                layer = layer_of(by_name[node.name], self.shapes, cuts.size, {})
                if layer is not None:
                    share = node.surface.at(layer.widths) / node.surface.at(node.before)
            kept_us += node.us * share
        kept_us += self.rest_us * (elements / whole if whole else 1.0)
        changed = elements < whole
        return kept_us / max(self.total_us, 1e-9) * (self.factor if changed else 1.0)


def layers_of(graph: Graph, shapes: Shapes) -> dict[str, Layer]:
    """Return the layers of a network that a table can hold, by node."""
    constants = graph.all_parameters()

    def size(key: str, axis: int) -> int:
        return (shapes.shape(key) or ())[axis]

    found = {n.name: layer_of(n, shapes, size, constants) for n in graph.all_nodes()}
    return {name: layer for name, layer in found.items() if layer is not None}


def price_network(
    graph: Graph, shapes: Shapes, table: CostTable, profile: Mapping[str, float] | None
) -> NetworkCosts:
    """Return what the nodes of a network take.

    Args:
        graph: the network.
        shapes: sizes at which it runs.
        table: times of layers.
        profile: microseconds by node, and of what belongs to none; None or one that knows few of
            the layers leaves it to the table.
    """
    layers = layers_of(graph, shapes)
    table.fill(item for layer in layers.values() for item in table.demand(layer))
    known = dict(profile or {})
    seen = sum(layers[n].macs for n in known.keys() & layers.keys())
    if seen < 0.5 * sum(layer.macs for layer in layers.values()):
        known = {n: table.layer_us(layer) for n, layer in layers.items()}
    nodes = []
    for node in graph.all_nodes():
        name = node.name
        if name not in known:
            continue
        layer = layers.get(name)
        values = tuple(k for k in (*node.inputs, *node.outputs) if k and shapes.shape(k))
        nodes.append(
            PricedNode(
                name, known.pop(name), table.surface(layer) if layer else None,
                layer.widths if layer else (1, 1, 1), values,
                _elements(values, shapes, lambda key, axis: (shapes.shape(key) or ())[axis]),
            )
        )  # fmt: skip
    return NetworkCosts(shapes, tuple(nodes), sum(known.values()))


def layer_of(
    node: Node, shapes: Shapes, size: Size, constants: Mapping[str, object]
) -> Layer | None:
    """Return a node as a layer, None for one that no table holds.

    Args:
        node: the node.
        shapes: sizes before the cut.
        size: size of a value's axis.
        constants: the parameters of the network.
    """
    read = _READERS.get(node.op) if not node.domain else None
    dtype = DTYPES.get(shapes.dtypes.get(node.input(0), 0))
    if read is None or dtype is None or any(not shapes.shape(k) for k in node.inputs[:2]):
        return None
    return read(node, dtype, shapes, size, constants)


def _elements(values: Iterable[str], shapes: Shapes, size: Size) -> int:
    return sum(prod(size(key, a) for a in range(len(shapes.shape(key) or ()))) for key in values)


def _convolution(
    node: Node, dtype: str, shapes: Shapes, size: Size, _constants: Mapping[str, object]
) -> Layer:
    data, weight = node.inputs[:2]
    rank = len(shapes.shape(weight) or ())
    first, second = size(weight, 0), size(weight, 1)
    channels = size(data, 1)
    if node.op == "ConvTranspose":
        groups = int(node.attribute("group", 1))
        inner, outer = first // max(1, groups), second
    else:
        groups = max(1, channels // max(1, second))
        inner, outer = second, first // groups
    told = []
    for name in _TOLD:
        value = node.attribute(name)
        if value is not None:
            told.append((name, value if isinstance(value, str) else tuple(map(int, value))))
    return Layer(
        node.op, dtype, size(data, 0), tuple(size(data, a) for a in range(2, rank)), groups,
        inner, outer, tuple(size(weight, a) for a in range(2, rank)), tuple(told),
    )  # fmt: skip


def _gemm(
    node: Node, dtype: str, _shapes: Shapes, size: Size, _constants: Mapping[str, object]
) -> Layer:
    left = (0, 1) if not node.attribute("transA", 0) else (1, 0)
    right = 1 if not node.attribute("transB", 0) else 0
    data, weight = node.inputs[:2]
    return Layer(
        "Gemm", dtype, 1, (size(data, left[0]),), 1, size(data, left[1]), size(weight, right)
    )


def _product(
    node: Node, dtype: str, shapes: Shapes, size: Size, constants: Mapping[str, object]
) -> Layer | None:
    left, right = node.inputs[:2]
    ranks = [len(shapes.shape(k) or ()) for k in (left, right)]
    if min(ranks) < 2:
        return None
    rows = [size(left, a) for a in range(ranks[0] - 1)]
    inner, outer = size(left, ranks[0] - 1), size(right, ranks[1] - 1)
    if ranks[1] == 2:
        weight = right in constants or not constants
        return Layer("MatMul", dtype, 1, (prod(rows),), 1, inner, outer, weight=weight)
    groups = prod(size(right, a) for a in range(ranks[1] - 2))
    return Layer("MatMul", dtype, 1, (rows[-1],), groups, inner, outer, weight=False)


_READERS = {
    "Conv": _convolution,
    "ConvTranspose": _convolution,
    "Gemm": _gemm,
    "MatMul": _product,
}
