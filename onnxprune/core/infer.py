"""Shapes of operators that onnx has no schema of: functions of rules' authors, by comparison.

Most operators of other domains are one of ai.onnx with something added. What they make has the
shape that the plain one makes, which onnx infers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TypeProto, helper, numpy_helper, shape_inference

from onnxprune.core.graph import ILL_FORMED
from onnxprune.core.registry import SHAPES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onnxprune.core.graph import Node
    from onnxprune.core.shapes import Inferred, Shapes

OPSET = 21
"""Version of ai.onnx that operators are compared with."""


def infer_registered(shapes: Shapes, node: Node) -> Inferred | None:
    """Return element type and shape of each output as registered, None when nothing is."""
    function = SHAPES.lookup(node.op, node.domain, node.since)
    if function is None:
        return None
    try:
        found: Inferred = function(shapes, node)
    except ILL_FORMED:  # shapes that do not fit
        return ()
    return found


def infer_like(
    shapes: Shapes,
    node: Node,
    op: str,
    *,
    inputs: Sequence[str] | None = None,
    attributes: Mapping[str, Any] | None = None,
    opset: int = OPSET,
) -> Inferred:
    """Return what an operator of ai.onnx would make.

    Args:
        shapes: what is known so far.
        node: the node.
        op: operator of ai.onnx.
        inputs: keys of its inputs; by default those of the node, as many as it takes.
        attributes: its attributes; by default those of the node that it has.
        opset: version of ai.onnx.

    Returns:
        Element type and shape of the first output, or nothing when they are not known.
    """
    schema = onnx.defs.get_schema(op, opset)
    keys = list(node.inputs[: schema.max_input] if inputs is None else inputs)
    while keys and not keys[-1]:
        keys.pop()
    given = node.attributes if attributes is None else attributes
    own = {k: v for k, v in given.items() if k in schema.attributes}
    names = [f"i{n}" if key else "" for n, key in enumerate(keys)]
    proto = helper.make_node(op, names, ["o"], **own)
    types: dict[str, TypeProto] = {}
    data: dict[str, onnx.TensorProto] = {}
    for name, key in zip(names, keys, strict=True):
        if not name:
            continue
        kind, shape = shapes.dtypes.get(key), shapes.shape(key)
        if kind is None or shape is None:
            return ()
        types[name] = helper.make_tensor_type_proto(kind, shape)
        if key in shapes.known:
            data[name] = numpy_helper.from_array(np.ascontiguousarray(shapes.known[key]), name)
    imports = [helper.make_opsetid("", opset)]
    try:
        inferred = shape_inference.infer_node_outputs(
            schema, proto, types, data, opset_imports=imports
        )
    except (shape_inference.InferenceError, onnx.checker.ValidationError, RuntimeError):
        return ()
    tensor = inferred["o"].tensor_type if "o" in inferred else None
    if tensor is None or not tensor.HasField("shape"):
        return ()
    dims = tensor.shape.dim
    if not all(d.HasField("dim_value") for d in dims):
        return ()
    return [(tensor.elem_type, tuple(d.dim_value for d in dims))]
