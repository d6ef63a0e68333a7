"""Normalise a model before it is analysed: inline functions, give each user its own vectors.

Exporters store equal tensors once: all zero biases of a transformer may be one initializer. Such
sharing couples nothing, so every use of a vector gets a copy of its own, which is dropped again
after the cut where it ended up equal. Shared matrices stay shared: copying them would cost more
than it gains.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
from onnx import inliner

from onnxprune.core.graph import PER_INDEX_TYPES, SELECT_AXIS, constant_tensor

if TYPE_CHECKING:
    from collections.abc import Iterator


def prepare(proto: onnx.ModelProto) -> tuple[onnx.ModelProto, dict[str, str]]:
    """Return a model to analyse and the copies made in it.

    Args:
        proto: a model, weights as stubs; it is not changed.

    Returns:
        The prepared model, and for each copied vector the name of its original.
    """
    proto = _unmarked(expand(proto))
    copies = _copies(proto.graph)
    if not copies:
        return proto, {}
    result = onnx.ModelProto()
    result.CopyFrom(proto)
    originals = dict(_tensors(result.graph))
    for (number, position), (name, copy) in copies.items():
        result.graph.node[number].input[position] = copy
        twin = result.graph.initializer.add()
        twin.CopyFrom(originals[name])
        twin.name = copy
    return result, {copy: name for name, copy in copies.values()}


def expand(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model with calls of local functions expanded, itself when it has none.

    Functions of another opset than the model's stay.
    """
    return inliner.inline_local_functions(proto) if proto.functions else proto


def _unmarked(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model without marks that only the analysis may set, itself when it has none."""
    if not any(_marks(node) for node in _nodes(proto.graph)):
        return proto
    result = onnx.ModelProto()
    result.CopyFrom(proto)
    for node in _nodes(result.graph):
        for mark in _marks(node):
            node.metadata_props.remove(mark)
    return result


def _marks(node: onnx.NodeProto) -> list[onnx.StringStringEntryProto]:
    return [p for p in node.metadata_props if p.key == SELECT_AXIS]


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for body in _bodies(node):
            yield from _nodes(body)


def _copies(graph: onnx.GraphProto) -> dict[tuple[int, int], tuple[str, str]]:
    """Name a copy for every use of a shared vector but the first."""
    inputs = {i.name for i in graph.input} | {o.name for o in graph.output}
    vectors = {
        name
        for name, t in _tensors(graph)
        if t.data_type in PER_INDEX_TYPES and sum(d > 1 for d in t.dims) == 1 and name not in inputs
    }
    taken = {name for name, _ in _tensors(graph)} | set(_names(graph))
    uses: dict[str, int] = dict.fromkeys(_captured(graph) & vectors, 1)
    found: dict[tuple[int, int], tuple[str, str]] = {}
    for number, node in enumerate(graph.node):
        for position, name in enumerate(node.input):
            if name not in vectors:
                continue
            uses[name] = uses.get(name, 0) + 1
            if uses[name] > 1:
                copy = f"{name}#{uses[name]}"
                while copy in taken:
                    copy += "#"
                taken.add(copy)
                found[number, position] = (name, copy)
    return found


def _tensors(graph: onnx.GraphProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    """Yield the initializers and the tensors of Constant nodes, by name."""
    for tensor in graph.initializer:
        yield tensor.name, tensor
    for node in graph.node:
        if node.op_type == "Constant" and node.domain in ("", "ai.onnx"):
            constant = constant_tensor(node)
            if constant is not None:
                yield node.output[0], constant


def _names(graph: onnx.GraphProto) -> Iterator[str]:
    for node in graph.node:
        yield from node.output
        for body in _bodies(node):
            yield from _names(body)
            yield from (t.name for t in body.initializer)


def _captured(graph: onnx.GraphProto) -> set[str]:
    """Return what bodies read from outside; what a body defines hides a name from outside."""
    found: set[str] = set()
    for body in (b for n in graph.node for b in _bodies(n)):
        own = {i.name for i in body.input} | {t.name for t in body.initializer}
        own.update(o for n in body.node for o in n.output)
        read = {o.name for o in body.output}.union(*(n.input for n in body.node))
        found |= (read | _captured(body)) - own
    return found


def reads(graph: onnx.GraphProto) -> Iterator[str]:
    """Yield every name that a graph, or a body in it, reads."""
    yield from (o.name for o in graph.output)
    for node in graph.node:
        yield from node.input
        for body in _bodies(node):
            yield from reads(body)


def _bodies(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
