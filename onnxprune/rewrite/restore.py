"""Put back what a round trip through ONNX-GraphSurgeon loses or moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx

from onnxprune.core.graph import FREE_INITIALIZERS, body_scope
from onnxprune.rewrite.prepare import reads

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.message import Message
    from onnx import TensorProto

    Sizes = Mapping[str, Mapping[str, Mapping[int, int]]]

_UNSUPPORTED = frozenset(
    getattr(onnx.AttributeProto, name)
    for name in "GRAPHS TENSORS SPARSE_TENSOR SPARSE_TENSORS TYPE_PROTO TYPE_PROTOS".split()
)
"""Attribute types that GraphSurgeon drops."""


def restore(
    before: onnx.ModelProto,
    exported: onnx.ModelProto,
    sizes: Sizes,
    stands_for: Mapping[str, str],
) -> onnx.ModelProto:
    """Return the exported graph with everything around and inside it as it was before.

    Args:
        before: the model that was edited.
        exported: what the editor made of it.
        sizes: by scope and value name, sizes that changed, for declared shapes.
        stands_for: outputs of nodes of the main graph that stand for another node, by its output.
    """
    after = onnx.ModelProto()
    after.CopyFrom(before)
    after.graph.CopyFrom(exported.graph)
    _move_up(before.graph, after.graph)
    if before.ir_version < FREE_INITIALIZERS:
        _as_nodes(before.graph, after.graph)
    _restore_graph(before.graph, after.graph, "", sizes, stands_for)
    return after


def _as_nodes(before: onnx.GraphProto, after: onnx.GraphProto) -> None:
    """Turn new initializers into Constant nodes: old versions want initializers as inputs."""
    old = {t.name for t in before.initializer}
    new = [_copy(t) for t in after.initializer if t.name not in old]
    kept = [_copy(t) for t in after.initializer if t.name in old]
    nodes = [onnx.helper.make_node("Constant", [], [t.name], name=t.name, value=t) for t in new]
    nodes += list(after.node)
    after.ClearField("initializer")
    after.initializer.extend(kept)
    after.ClearField("node")
    after.node.extend(nodes)


def _move_up(before: onnx.GraphProto, after: onnx.GraphProto) -> None:
    """Move initializers that only bodies read back into the main graph, and keep their order."""
    order = {t.name: i for i, t in enumerate(before.initializer)}
    found = {t.name: t for t in after.initializer}

    def visit(graph: onnx.GraphProto, own: set[str]) -> None:
        for body in (a.g for n in graph.node for a in n.attribute if a.HasField("g")):
            mine = own | _defined(body)
            stays = []
            for tensor in body.initializer:
                if tensor.name in order and tensor.name not in mine:
                    found.setdefault(tensor.name, _copy(tensor))
                else:
                    stays.append(_copy(tensor))
            del body.initializer[:]
            body.initializer.extend(stays)
            visit(body, mine)

    visit(after, set())
    # One that is an input would become a required input; one that nobody ever read is not ours.
    inputs, read = {i.name for i in before.input}, set(reads(before))
    for tensor in before.initializer:
        if tensor.name in inputs or tensor.name not in read:
            found.setdefault(tensor.name, tensor)
    tensors = [_copy(t) for t in found.values()]
    del after.initializer[:]
    after.initializer.extend(sorted(tensors, key=lambda t: order.get(t.name, len(order))))


def _defined(graph: onnx.GraphProto) -> set[str]:
    return {o for n in graph.node for o in n.output} | {i.name for i in graph.input}


def _copy(tensor: TensorProto) -> TensorProto:
    copy = onnx.TensorProto()
    copy.CopyFrom(tensor)
    return copy


def _restore_graph(
    before: onnx.GraphProto,
    after: onnx.GraphProto,
    scope: str,
    sizes: Sizes,
    stands_for: Mapping[str, str],
) -> None:
    _copy_text(before, after, "name", "doc_string")
    for name in ("input", "output", "value_info", "metadata_props", "quantization_annotation"):
        after.ClearField(name)
        getattr(after, name).extend(getattr(before, name))
    for info in (*after.input, *after.output, *after.value_info):
        _resize(info, sizes.get(scope, {}).get(info.name, {}))
    by_output = {n.output[0]: (i, n) for i, n in enumerate(before.node) if n.output}
    for node in after.node:
        output = node.output[0] if node.output else ""
        index, twin = by_output.get(stands_for.get(output, output), (0, None))
        if twin is not None and twin.op_type == node.op_type:
            _restore_node(twin, node)
            bodies = {a.name: a.g for a in twin.attribute if a.HasField("g")}
            for attribute in node.attribute:
                if attribute.HasField("g") and attribute.name in bodies:
                    inner = body_scope(scope, twin, index, attribute.name)
                    _restore_graph(bodies[attribute.name], attribute.g, inner, sizes, {})


def _resize(info: onnx.ValueInfoProto, sizes: Mapping[int, int]) -> None:
    dims = info.type.tensor_type.shape.dim
    for axis, size in sizes.items():
        if axis < len(dims) and dims[axis].HasField("dim_value"):
            dims[axis].dim_value = size


def _restore_node(before: onnx.NodeProto, after: onnx.NodeProto) -> None:
    _copy_text(before, after, "name", "doc_string", "overload", "domain")
    after.metadata_props.extend(before.metadata_props)
    tensors = {a.name: a.t for a in before.attribute if a.HasField("t")}
    for attribute in after.attribute:
        if attribute.HasField("t") and attribute.name in tensors:
            _copy_text(tensors[attribute.name], attribute.t, "name", "doc_string")
    have = {a.name for a in after.attribute}
    after.attribute.extend(
        a for a in before.attribute if a.name not in have and a.type in _UNSUPPORTED
    )


def _copy_text(before: Message, after: Message, *names: str) -> None:
    """Give text fields what they had, or leave them out where they were."""
    for name in names:
        if before.HasField(name):
            setattr(after, name, getattr(before, name))
        else:
            after.ClearField(name)
