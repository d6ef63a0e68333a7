"""Put repaired weights and new biases into a model, still full size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import numpy_helper

from onnxprune.core.graph import body_scope
from onnxprune.errors import PlanMismatchError, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


def with_repairs(
    proto: onnx.ModelProto, weights: Mapping[str, np.ndarray], biases: Mapping[str, np.ndarray]
) -> tuple[onnx.ModelProto, dict[str, str]]:
    """Return a copy of a model with other weights.

    Args:
        proto: a prepared model.
        weights: new content by the scoped name of an initializer or Constant.
        biases: new third inputs, by the scoped output of their node.

    Returns:
        The model, and the name of each new bias by the output of its node.

    Raises:
        PlanMismatchError: the model has no such weight or node, or one of another shape or type.
    """
    result = onnx.ModelProto()
    result.CopyFrom(proto)
    graphs = list(_graphs(result.graph, ""))
    found: dict[str, onnx.TensorProto] = {}
    for scope, graph in graphs:
        found.update((scope + t.name, t) for t in graph.initializer)
        for node in graph.node:
            if node.op_type == "Constant" and node.output:
                held = (a.t for a in node.attribute if a.name == "value")
                found.update((scope + node.output[0], t) for t in held)
    for name, array in weights.items():
        tensor = found.get(name)
        if tensor is None or tuple(tensor.dims) != array.shape:
            seen = "has no such weight" if tensor is None else f"has shape {list(tensor.dims)}"
            wanted = f"repaired weight '{printable(name)}' of shape {list(array.shape)}"
            message = f"{wanted}: the model {seen}"
            raise PlanMismatchError(message, hint="make a plan for this model")
        _fill(tensor, array)
    return result, _add_biases(graphs, biases)


def _graphs(graph: onnx.GraphProto, scope: str) -> Iterator[tuple[str, onnx.GraphProto]]:
    """Yield a graph and the bodies in it with their paths."""
    yield scope, graph
    for index, node in enumerate(graph.node):
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                inner = body_scope(scope, node, index, attribute.name)
                yield from _graphs(attribute.g, inner)


def _fill(tensor: onnx.TensorProto, array: np.ndarray) -> None:
    new = numpy_helper.from_array(np.asarray(array, order="C"), tensor.name)
    if new.data_type != tensor.data_type:
        message = f"repaired weight '{printable(tensor.name)}' is {array.dtype}, the model's is not"
        raise PlanMismatchError(message, hint="make a plan for this model")
    new.doc_string = tensor.doc_string
    tensor.CopyFrom(new)


def _add_biases(
    graphs: Sequence[tuple[str, onnx.GraphProto]], biases: Mapping[str, np.ndarray]
) -> dict[str, str]:
    taken: set[str] = set()
    for _, graph in graphs:
        taken |= {t.name for t in graph.initializer} | {i.name for i in graph.input}
        taken.update(name for node in graph.node for name in (*node.input, *node.output))
    names: dict[str, str] = {}
    for scope, graph in graphs:
        for node in graph.node:
            output = scope + node.output[0] if node.output else ""
            if output not in biases:
                continue
            if any(node.input[2:]):
                message = f"node '{printable(node.name)}' has a bias already"
                raise PlanMismatchError(message, hint="make a plan for this model")
            name = f"{node.name or node.output[0]}.bias"
            while name in taken:
                name += "_"
            taken.add(name)
            names[output] = name
            del node.input[2:]
            node.input.append(name)
            graph.initializer.append(numpy_helper.from_array(biases[output], name))
    missing = biases.keys() - names.keys()
    if missing:
        message = f"the model has no node that makes '{printable(min(missing))}'"
        raise PlanMismatchError(message, hint="make a plan for this model")
    return names
