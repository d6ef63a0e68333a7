"""Check every tensor of a model, wherever it sits, against the bytes that are there for it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

import onnx
from onnx import TensorProto

from onnxprune.errors import InvalidModelError, printable
from onnxprune.io.place import located
from onnxprune.io.skeleton import is_external, stub_of
from onnxprune.io.tensors import (
    MAX_RANK,
    check_inline_data,
    check_no_inline_data,
    checked_size,
    element_bits,
    type_name,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from onnxprune.io.model import Model
    from onnxprune.io.skeleton import Stub

__all__ = ["check_tensors"]

# Runtimes expand a sparse tensor into a dense one inside a message, which cannot be larger.
_MAX_DENSE_BYTES = (1 << 31) - 1

# A tensor, and the name of the node or function whose attribute it is; None for initializers.
_Found: TypeAlias = "tuple[TensorProto | onnx.SparseTensorProto, str | None]"


def check_tensors(model: Model, stubs: frozenset[Stub]) -> None:
    """Check types, dims, lengths and locations of all tensors.

    Args:
        model: The model; data files that its tensors name are opened.
        stubs: The stubs that reading the file made; nothing else may look like one.

    Raises:
        InvalidModelError: For the first tensor that is wrong.
    """
    left = set(stubs)
    for tensor, holder in _model_tensors(model.proto):
        if isinstance(tensor, TensorProto):
            with located(_described, tensor.name, holder):
                _check_tensor(model, tensor, left)
            continue
        with located(_described, tensor.values.name, holder):
            _check_tensor(model, tensor.values, left)
            _check_tensor(model, tensor.indices, left)
            _check_sparse(model, tensor)


def _described(name: str, holder: str | None) -> str:
    if holder is None:
        return f"initializer '{printable(name)}'"
    tensor = f"tensor '{printable(name)}'" if name else "a tensor"
    return f"{tensor} in an attribute of '{printable(holder)}'"


def _check_tensor(model: Model, tensor: TensorProto, stubs: set[Stub]) -> None:
    size = checked_size(tensor)
    if not is_external(tensor):
        check_inline_data(tensor, size)
        return
    if element_bits(tensor.data_type) == 0:
        msg = "is a string tensor outside of the model file, which ONNX does not allow"
        raise InvalidModelError(msg)
    if any(entry.key == "location" and entry.value for entry in tensor.external_data):
        check_no_inline_data(tensor)
        model.payload(tensor)
        return
    # An empty location is ours alone; a file that has one is after bytes that are not its own.
    stub = stub_of(tensor)
    if stub is None or stub not in stubs:
        msg = "has external data without a location"
        raise InvalidModelError(msg)
    stubs.remove(stub)
    check_inline_data(tensor, size)


def _check_sparse(model: Model, sparse: onnx.SparseTensorProto) -> None:
    values, indices, dims = sparse.values, sparse.indices, list(sparse.dims)
    if len(dims) > MAX_RANK or any(dim < 0 for dim in dims):
        msg = f"is a sparse tensor with dims {dims[: MAX_RANK + 1]}"
        raise InvalidModelError(msg)
    count = math.prod(dims)
    if count * element_bits(values.data_type) > 8 * _MAX_DENSE_BYTES:
        msg = f"is a sparse tensor with dims {dims}, too large to be expanded"
        raise InvalidModelError(msg)
    entries = math.prod(values.dims)
    flat = [entries]
    if list(values.dims) != flat or list(indices.dims) not in (flat, [entries, len(dims)]):
        msg = (
            f"is a sparse tensor with values of dims {list(values.dims)} and indices of dims "
            f"{list(indices.dims)}, wanted [n] and [n] or [n, {len(dims)}]"
        )
        raise InvalidModelError(msg)
    if indices.data_type != TensorProto.INT64:
        msg = f"is a sparse tensor with {type_name(indices.data_type)} indices, wanted INT64"
        raise InvalidModelError(msg)
    limits = [count] if list(indices.dims) == flat else dims
    positions = model.array(indices).reshape(entries, len(limits))
    if entries and ((positions < 0) | (positions >= limits)).any():
        msg = f"is a sparse tensor with indices outside of its dims {dims}"
        raise InvalidModelError(msg)


def _model_tensors(
    model: onnx.ModelProto,
) -> Iterator[_Found]:
    yield from _graph_tensors(model.graph)
    for training in model.training_info:
        yield from _graph_tensors(training.initialization)
        yield from _graph_tensors(training.algorithm)
    for function in model.functions:
        yield from _attribute_tensors(function.attribute_proto, function.name)
        yield from _node_tensors(function.node)


def _graph_tensors(
    graph: onnx.GraphProto,
) -> Iterator[_Found]:
    for tensor in graph.initializer:
        yield tensor, None
    for sparse in graph.sparse_initializer:
        yield sparse, None
    yield from _node_tensors(graph.node)


def _node_tensors(
    nodes: Iterable[onnx.NodeProto],
) -> Iterator[_Found]:
    for node in nodes:
        if node.attribute:
            yield from _attribute_tensors(node.attribute, node.name)


def _attribute_tensors(attributes: Iterable[onnx.AttributeProto], holder: str) -> Iterator[_Found]:
    for attribute in attributes:
        # Most attributes are numbers; asking for the fields that are set is one call.
        for field, value in attribute.ListFields():
            if field.name in ("t", "sparse_tensor"):
                yield value, holder
            elif field.name in ("tensors", "sparse_tensors"):
                for tensor in value:
                    yield tensor, holder
            elif field.name == "g":
                yield from _graph_tensors(value)
            elif field.name == "graphs":
                for graph in value:
                    yield from _graph_tensors(graph)
