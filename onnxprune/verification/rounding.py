"""Models without the rounding of activations, to compare what rounding hides or blows up.

Sums in another order differ in their last bits. A QuantizeLinear behind them turns that into a
whole step now and then, which the layers that follow carry on, while small outputs are a few steps
high. Without the pairs that round, original and pruned model agree to the last bits again.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import onnx
from onnx import AttributeProto

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_DOMAINS = frozenset(("", "ai.onnx", "com.microsoft"))


def rounded(proto: onnx.ModelProto) -> dict[str, str]:
    """Return the outputs of pairs that quantise with one scale and undo it, with what goes in."""
    return dict(_pairs(proto.graph))


def _pairs(graph: onnx.GraphProto) -> Iterator[tuple[str, str]]:
    makers = {n.output[0]: n for n in graph.node if n.op_type == "QuantizeLinear"}
    sizes = {i.name: prod(i.dims) for i in graph.initializer}
    sizes |= {
        n.output[0]: prod(a.t.dims)
        for n in graph.node
        if n.op_type == "Constant"
        for a in n.attribute
        if a.type == AttributeProto.TENSOR
    }
    for node in graph.node:
        maker = makers.get(node.input[0]) if node.op_type == "DequantizeLinear" else None
        if (
            maker is not None
            and {node.domain, maker.domain} <= _DOMAINS
            and list(node.input[1:]) == list(maker.input[1:])
            and sizes.get(node.input[1]) == 1
            and not any(a.name == "output_dtype" for a in node.attribute)
        ):
            yield node.output[0], maker.input[0]


def without_rounding(proto: onnx.ModelProto, pairs: Mapping[str, str]) -> onnx.ModelProto:
    """Return a copy of a model in which pairs hand on what goes in."""
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    for node in copy.graph.node:
        if node.op_type == "DequantizeLinear" and node.output[0] in pairs:
            made = onnx.helper.make_node(
                "Identity", [pairs[node.output[0]]], [node.output[0]], node.name
            )
            node.CopyFrom(made)
    return copy
