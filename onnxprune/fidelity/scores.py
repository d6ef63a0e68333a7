"""Which outputs hold class scores, so that the preferred class is what counts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from onnx import TensorProto, helper

if TYPE_CHECKING:
    import onnx

__all__ = ["ClassScores", "find_class_scores"]

_FLOATS: Final = (
    TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16,
)  # fmt: skip

_NAMED: Final = re.compile(r"logit|prob|class|softmax", re.IGNORECASE)

_LINEAR: Final = frozenset(
    "Add Conv Flatten Gemm GlobalAveragePool MatMul ReduceMean Reshape Squeeze".split()
)
"""What the scores of classifiers come out of; embeddings are normalised or squashed behind it."""

_PASSING: Final = ("Cast", "Identity")


@dataclass(frozen=True, slots=True)
class ClassScores:
    """How an output holds scores of classes.

    Attributes:
        axis: axis of the classes.
        kind: what the scores are.
    """

    axis: int
    kind: Literal["probabilities", "logarithms", "logits"]


def find_class_scores(proto: onnx.ModelProto) -> dict[str, ClassScores]:
    """Return the outputs that hold class scores.

    These are the outputs of Softmax and LogSoftmax; linear ones of two dimensions (samples,
    classes); and those that say so by their name, over their last axis.

    Args:
        proto: the model; weights do not matter.
    """
    made_by = {o: node for node in proto.graph.node for o in node.output}
    opset = max((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), default=1)
    found: dict[str, ClassScores] = {}
    for output in proto.graph.output:
        tensor = output.type.tensor_type
        rank = len(tensor.shape.dim)
        if tensor.elem_type not in _FLOATS or not rank:
            continue
        node = made_by.get(output.name)
        while node is not None and node.op_type in _PASSING:
            node = made_by.get(node.input[0])
        scores = _scores(output.name, node, rank, opset)
        if scores is not None and tensor.shape.dim[scores.axis].dim_value != 1:
            found[output.name] = scores
    return found


def _scores(name: str, node: onnx.NodeProto | None, rank: int, opset: int) -> ClassScores | None:
    op = "" if node is None else node.op_type
    if node is not None and op in ("Softmax", "LogSoftmax"):
        given = [helper.get_attribute_value(a) for a in node.attribute if a.name == "axis"]
        axis = int(given[0]) if given else (-1 if opset >= 13 else 1)
        kind: Literal["probabilities", "logarithms"]
        kind = "probabilities" if op == "Softmax" else "logarithms"
        return ClassScores(axis % rank, kind) if -rank <= axis < rank else None
    if (rank == 2 and op in _LINEAR) or (rank > 1 and op != "Sigmoid" and _NAMED.search(name)):
        return ClassScores(rank - 1, "logits")
    return None
