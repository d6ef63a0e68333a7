"""Models of a single operator, to measure it alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from onnxprune.costs.layer import Copy, Layer

if TYPE_CHECKING:
    import onnx

__all__ = ["AROUND", "NODE", "make_model"]

NODE = "measured"
"""Name of the operator that is measured."""

AROUND = frozenset(("Conv", "GlobalAveragePool"))
"""Operators that stand around a copy; whatever else runs there is the copy's doing."""

_OPSET = 17
_IR_VERSION = 8
_NARROW = 16
_VALUE = 0.01
"""Of every weight: products stay ordinary numbers, of which none is slow."""

_TYPES = {
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "float16": TensorProto.FLOAT16,
}


def make_model(item: Layer | Copy) -> onnx.ModelProto:
    """Return a model of one operator with one input `x`.

    Args:
        item: the layer, or the copy.

    Raises:
        KeyError: its element type is none that is measured.
    """
    inputs, shape, weights, attributes = (
        _copy(item) if isinstance(item, Copy) else _contraction(item)
    )
    elements = _TYPES[item.dtype]
    nodes = [helper.make_node(item.op, inputs, ["y"], NODE, **attributes)]
    if isinstance(item, Copy) and item.between:
        shape = _surround(nodes, weights, item)
    given = [helper.make_tensor_value_info("x", elements, shape)]
    if "w" in inputs and "w" not in weights:
        assert isinstance(item, Layer)
        right = [item.groups, item.inner, item.outer]
        given.append(helper.make_tensor_value_info("w", elements, right))
    graph = helper.make_graph(
        nodes, "one layer", given,
        [helper.make_tensor_value_info("y", elements, None)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", _OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)


_Parts = tuple[list[str], list[int], dict[str, np.ndarray], dict[str, Any]]


def _contraction(layer: Layer) -> _Parts:
    def weight(*shape: int) -> np.ndarray:
        return np.full(shape, _VALUE, layer.dtype)

    groups, inner, outer = layer.widths
    if layer.op.startswith("Conv"):
        held = (inner, outer) if layer.op == "ConvTranspose" else (outer, inner)
        first, second = (held[0] * groups, held[1])
        attributes: dict[str, Any] = dict(layer.attributes) | {"group": groups}
        weights = {"w": weight(first, second, *layer.kernel), "b": weight(groups * outer)}
        shape = [layer.batch, groups * inner, *layer.size]
        return ["x", "w", "b"], shape, weights, attributes
    rows = [*layer.size, inner]
    if layer.op == "Gemm":
        return ["x", "w", "b"], rows, {"w": weight(inner, outer), "b": weight(outer)}, {}
    if layer.weight:
        return ["x", "w"], rows, {"w": weight(inner, outer)}, {}
    return ["x", "w"], [groups, *rows], {}, {}


def _surround(nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], copy: Copy) -> list[int]:
    """Put convolutions around a copy, and what makes the output small; return the input's shape."""
    ones = [1] * len(copy.size)
    weights["before"] = np.full([copy.total, 1, *ones], _VALUE, copy.dtype)
    weights["behind"] = np.full([_NARROW, copy.kept, *ones], _VALUE, copy.dtype)
    [node] = nodes
    node.input[0], node.output[0] = "whole", "part"
    nodes[:] = [
        helper.make_node("Conv", ["x", "before"], ["whole"], "before"), node,
        helper.make_node("Conv", ["part", "behind"], ["narrow"], "behind"),
        helper.make_node("GlobalAveragePool", ["narrow"], ["y"], "mean"),
    ]  # fmt: skip
    return [copy.batch, 1, *copy.size]


def _copy(copy: Copy) -> _Parts:
    shape = [copy.batch, copy.total, *copy.size]
    if copy.op == "Gather":
        indices = np.linspace(0, copy.total - 1, copy.kept).round().astype(np.int64)
        return ["x", "indices"], shape, {"indices": indices}, {"axis": 1}
    ends = {"starts": [0], "ends": [copy.kept], "axes": [1]}
    return ["x", *ends], shape, {k: np.array(v, np.int64) for k, v in ends.items()}, {}
