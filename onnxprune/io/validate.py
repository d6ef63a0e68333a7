"""Check a parsed model before anything else relies on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx import TensorProto

from onnxprune.errors import InvalidModelError, printable
from onnxprune.io.check_functions import check_functions, function_table
from onnxprune.io.check_graph import GraphChecker, sort_nodes, subgraphs
from onnxprune.io.check_tensors import check_tensors
from onnxprune.io.check_versions import check_ir_version, check_text, opset_table
from onnxprune.io.place import LocatedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import onnx

    from onnxprune.io.model import Model
    from onnxprune.io.skeleton import Stub

__all__ = ["validate_model"]


def validate_model(model: Model, stubs: frozenset[Stub]) -> None:
    """Check versions, text, tensors, graph and functions of a model just parsed.

    What runtimes do not mind is not refused: missing shapes, nodes out of order (they are put into
    order here), unknown operators.

    Args:
        model: The model, parsed and otherwise untouched.
        stubs: The stubs that reading its file made.

    Raises:
        InvalidModelError: For the first thing that is wrong.
    """
    proto = model.proto
    if not proto.HasField("graph"):
        msg = "is not an ONNX model, or an empty one: it has no graph"
        raise InvalidModelError(msg)
    check_ir_version(proto)
    check_text(proto)
    opsets = opset_table(proto.opset_import)
    functions = function_table(proto)
    check_tensors(model, stubs)
    try:
        _check_inputs(proto.graph)
        _check_declared(_declared(proto))
        sort_nodes(proto.graph)
        GraphChecker(opsets, functions).check_graph(proto.graph)
    except LocatedError:
        raise
    except InvalidModelError as error:
        raise LocatedError(error.message, hint=error.hint) from None
    check_functions(proto.graph, functions)


def _check_inputs(graph: onnx.GraphProto) -> None:
    for value in graph.input:
        kind = value.type.WhichOneof("value")
        element = value.type.tensor_type.elem_type
        if kind is None or (kind == "tensor_type" and element == TensorProto.UNDEFINED):
            msg = f"graph input '{printable(value.name)}' has no type"
            raise InvalidModelError(msg)
    if not graph.output:
        msg = "the graph has no outputs"
        raise InvalidModelError(msg)


def _check_declared(values: Iterable[onnx.ValueInfoProto]) -> None:
    """Check the types that values are declared with: editors and runtimes know no other numbers."""
    for value in values:
        for number in _element_types(value.type):
            if number not in TensorProto.DataType.values():
                name = printable(value.name)
                msg = f"'{name}' is declared with element type {number}, which ONNX does not have"
                raise InvalidModelError(msg)


def _declared(model: onnx.ModelProto) -> Iterator[onnx.ValueInfoProto]:
    """Yield every declaration of a value in a model."""
    graphs = [model.graph]
    for function in model.functions:
        yield from function.value_info
        graphs += [graph for node in function.node for graph in subgraphs(node)]
    for graph in graphs:
        yield from (*graph.input, *graph.output, *graph.value_info)
        graphs += [inner for node in graph.node for inner in subgraphs(node)]


def _element_types(declared: onnx.TypeProto) -> Iterator[int]:
    waiting = [declared]
    for kind in waiting:
        match kind.WhichOneof("value"):
            case "tensor_type":
                yield kind.tensor_type.elem_type
            case "sparse_tensor_type":
                yield kind.sparse_tensor_type.elem_type
            case "sequence_type":
                waiting.append(kind.sequence_type.elem_type)
            case "optional_type":
                waiting.append(kind.optional_type.elem_type)
            case "map_type":
                yield kind.map_type.key_type
                waiting.append(kind.map_type.value_type)
            case _:
                continue
