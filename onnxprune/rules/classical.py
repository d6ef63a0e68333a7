"""Preprocessing of classical machine learning, in front of networks: nothing leaves through it.

Only shapes are told here, about which onnx says nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx import TensorProto

from onnxprune.core.registry import shapes

if TYPE_CHECKING:
    from onnxprune.core.graph import Node
    from onnxprune.core.shapes import Inferred, Shapes


@shapes("Imputer", "Normalizer", "Scaler", domain="ai.onnx.ml")
def as_input(found: Shapes, node: Node) -> Inferred:
    """The shape of the input; numbers become single precision, except those filled in."""
    shape = found.shape(node.inputs[0])
    kind = found.dtypes.get(node.inputs[0])
    if shape is None or kind is None:
        return ()
    return [(kind if node.op == "Imputer" else TensorProto.FLOAT, shape)]
