"""Compute ahead what only weights go into, where weights that leave would change it.

A weight normalisation divides by norms of the weights, a weight standardisation subtracts their
means. Taken from fewer weights those would be others; so they are computed from the original
weights, and stand in the file as weights themselves. What else was computed for them goes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from onnxprune.errors import PlanMismatchError
from onnxprune.rewrite.parameters import ParameterCut

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx
    from onnx import TensorProto

    from onnxprune.core.dependencies import Dependencies
    from onnxprune.core.graph import Node
    from onnxprune.core.layout import Layout
    from onnxprune.rewrite.surgeon import Surgeon

    ReadTensor = Callable[[TensorProto], np.ndarray]


def compute_ahead(
    surgeon: Surgeon, proto: onnx.ModelProto, read: ReadTensor, layout: Layout
) -> None:
    """Put weights in the place of nodes that a layout would make compute something else.

    Args:
        surgeon: the graph to edit.
        proto: the model that was analysed.
        read: returns the content of a tensor.
        layout: what leaves.

    Raises:
        PlanMismatchError: when a node cannot be computed here.
    """
    ctx = layout.deps.ctx
    for node in reversed(_affected(layout)):  # what only later ones read is gone by then
        tensors = {}
        for key in node.outputs:
            if not key or not surgeon.is_read(node, key):
                continue
            array = evaluate_weights(proto, read, layout.deps, node, key)
            arrange = None if layout.plain else layout.arrange(key)
            cut = ParameterCut(key, array.shape, ctx.factors_of.get(key, ()), layout.slots)
            array = cut(array if arrange is None else arrange(array))
            tensors[key] = numpy_helper.from_array(np.ascontiguousarray(array), key)
        surgeon.replace_node(node, tensors)


def _affected(layout: Layout) -> list[Node]:
    """Return the nodes whose output would change, in order."""
    changed = layout.removed | layout.slots | (layout.holds != np.arange(len(layout.holds)))
    roots = layout.deps.roots
    found = {n.index: n for n, labels in layout.deps.ctx.held if changed[roots[labels]].any()}
    return [found[index] for index in sorted(found)]


def evaluate_weights(
    proto: onnx.ModelProto, read: ReadTensor, deps: Dependencies, node: Node, key: str
) -> np.ndarray:
    """Return a value that is computed from weights alone.

    Args:
        proto: the model that was analysed.
        read: returns the content of a tensor.
        deps: its analysis.
        node: the node that computes the value.
        key: the value.

    Raises:
        PlanMismatchError: when it cannot be computed here.
    """
    made_by = {o: n for n in deps.graph.nodes for o in n.outputs if o}
    parameters = deps.ctx.parameters
    nodes, waiting = {node.index}, [node]
    weights: dict[str, TensorProto] = {}
    while waiting:
        for name in waiting.pop().inputs:
            if name in parameters:
                weights[name] = parameters[name].tensor
            elif name and made_by[name].index not in nodes:
                nodes.add(made_by[name].index)
                waiting.append(made_by[name])
    graph = helper.make_graph(
        [proto.graph.node[i] for i in sorted(nodes)],
        "weights",
        [],
        [helper.make_empty_tensor_value_info(key)],
        [numpy_helper.from_array(np.ascontiguousarray(read(t)), n) for n, t in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=proto.opset_import)
    try:
        [array] = ReferenceEvaluator(model).run([key], {})
    except Exception as error:  # whatever onnx's implementations raise
        message = f"{node.where} cannot be computed ahead: {error}"
        raise PlanMismatchError(message) from error
    return np.asarray(array)
