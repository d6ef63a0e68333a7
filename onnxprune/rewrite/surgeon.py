"""Edit a graph through ONNX-GraphSurgeon, and restore what its round trip loses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from onnx import TensorProto, numpy_helper
from onnx_graphsurgeon.ir.tensor import LazyValues

from onnxprune.core.graph import body_scope

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from onnxprune.core.graph import Graph, Node

gs.logger.G_LOGGER.module_severity = gs.logger.G_LOGGER.ERROR

_LOST_BY_NODE = ("doc_string", "overload")


class Surgeon:
    """One editing session on a copy of a model.

    Args:
        proto: the model, weights as stubs; it is copied.
    """

    def __init__(self, proto: onnx.ModelProto) -> None:
        self._before = proto
        copy = onnx.ModelProto()
        copy.CopyFrom(proto)
        self.graph: gs.Graph = gs.import_onnx(copy)
        self._taken = {t.name for g in self._graphs(self.graph) for t in g.tensors().values()}
        self._nodes: dict[tuple[str, int], tuple[gs.Graph, gs.Node]] = {}
        self._scopes: dict[str, gs.Graph] = {}
        self._tensors: dict[str, dict[str, gs.Tensor]] = {}
        self._sizes: dict[str, dict[str, Mapping[int, int]]] = {}

    def _graphs(self, graph: gs.Graph) -> Iterator[gs.Graph]:
        yield graph
        yield from graph.subgraphs(recursive=True)

    def index(self, graph: Graph) -> None:
        """Learn where the nodes of the analysed graph are."""
        self._index(graph, self.graph)

    def _index(self, graph: Graph, edited: gs.Graph) -> None:
        self._scopes[graph.scope] = edited
        self._tensors[graph.scope] = edited.tensors()
        originals = list(edited.nodes)
        for twin in originals:  # values of outer graphs that only a body reads
            for tensor in twin.inputs:
                self._tensors[graph.scope].setdefault(tensor.name, tensor)
        for node in graph.nodes:
            twin = originals[node.index]
            self._nodes[node.scope, node.index] = (edited, twin)
            for name, body in node.bodies.items():
                self._index(body, twin.attrs[name])

    def twin(self, node: Node) -> gs.Node:
        """Return the editable node."""
        return self._nodes[node.scope, node.index][1]

    def unique(self, name: str) -> str:
        """Return a tensor name that is not taken yet."""
        candidate, number = name, 1
        while candidate in self._taken:
            number += 1
            candidate = f"{name}_{number}"
        self._taken.add(candidate)
        return candidate

    def set_attributes(self, node: Node, changes: Mapping[str, Any]) -> None:
        """Change attributes; None removes one."""
        twin = self.twin(node)
        for name, value in changes.items():
            if value is None:
                twin.attrs.pop(name, None)
            else:
                twin.attrs[name] = value

    def replace_parameter(self, scope: str, name: str, tensor: TensorProto) -> None:
        """Give an initializer or Constant node another tensor of the same name."""
        graph = self._scopes[scope]
        existing = self._find(scope, name)
        if isinstance(existing, gs.Constant):
            existing.values = LazyValues(tensor)
            existing.data_location = tensor.data_location or None
            return
        for node in graph.nodes:  # the output of a Constant node
            if node.op == "Constant" and node.outputs[0].name == name:
                node.attrs.clear()
                node.attrs["value"] = gs.Constant(name, LazyValues(tensor))
                return
        raise KeyError(name)

    def _find(self, scope: str, name: str) -> gs.Tensor | None:
        """Return a tensor of a graph, also when only bodies below it read it."""
        inner = (t for s, t in self._tensors.items() if s.startswith(scope))
        return next((t[name] for t in inner if name in t), None)

    def merge_parameter(self, name: str, first: str) -> None:
        """Let every user of an initializer of the main graph read another one."""
        gone, kept = self._find("", name), self._find("", first)
        if gone is None or kept is None:
            return
        for node in list(gone.outputs):
            for position, tensor in enumerate(node.inputs):
                if tensor is gone:
                    node.inputs[position] = kept

    def set_operand(self, node: Node, position: int, array: np.ndarray) -> None:
        """Make an input a constant of its own."""
        twin = self.twin(node)
        while len(twin.inputs) <= position:
            twin.inputs.append(gs.Variable.empty())
        stem = twin.inputs[position].name or f"{node.name}_operand"
        twin.inputs[position] = self.constant(f"{stem}_pruned", array)

    def constant(self, name: str, array: np.ndarray) -> gs.Constant:
        """Make a constant with a fresh name."""
        name = self.unique(name)
        return gs.Constant(name, LazyValues(numpy_helper.from_array(array, name)))

    def compute_operand(
        self, node: Node, position: int, steps: list[tuple[str, list[np.ndarray | None]]]
    ) -> None:
        """Put small nodes between an input and its producer.

        Args:
            node: the consumer.
            position: the input.
            steps: operator and inputs of each new node; None stands for the value so far.
        """
        graph, twin = self._nodes[node.scope, node.index]
        value = twin.inputs[position]
        stem = f"{value.name}_pruned"
        place = next(i for i, n in enumerate(graph.nodes) if n is twin)
        for op, operands in steps:
            inputs = [value if o is None else self.constant(stem, o) for o in operands]
            output = gs.Variable(self.unique(stem))
            graph.nodes.insert(place, gs.Node(op, output.name, inputs=inputs, outputs=[output]))
            place += 1
            value = output
        twin.inputs[position] = value

    def select_operand(
        self, node: Node, position: int, keep: np.ndarray, zero: int, dtype: np.dtype[Any]
    ) -> None:
        """Let an input be the zero point (another input, or zero) where `keep` is false."""
        graph, twin = self._nodes[node.scope, node.index]
        value = twin.inputs[position]
        stem = f"{value.name}_masked"
        point: gs.Tensor = self.constant(stem, np.zeros((), dtype))
        if zero < len(twin.inputs) and twin.inputs[zero].name:
            point = twin.inputs[zero]
        output = gs.Variable(self.unique(stem))
        inputs = [self.constant(stem, keep), value, point]
        place = next(i for i, n in enumerate(graph.nodes) if n is twin)
        graph.nodes.insert(place, gs.Node("Where", output.name, inputs=inputs, outputs=[output]))
        twin.inputs[position] = output

    def scale_output(self, node: Node, factor: float, dtype: int) -> None:
        """Multiply the first output of a node by a constant."""
        graph, twin = self._nodes[node.scope, node.index]
        output = twin.outputs[0]
        inner = gs.Variable(self.unique(f"{output.name}_unscaled"))
        array = np.array(factor, onnx.helper.tensor_dtype_to_np_dtype(dtype))
        twin.outputs[0] = inner
        scale = self.constant(f"{output.name}_scale", array)
        place = next(i for i, n in enumerate(graph.nodes) if n is twin)
        name = f"{node.name}_rescale"
        graph.nodes.insert(
            place + 1, gs.Node("Mul", name, inputs=[inner, scale], outputs=[output])
        )

    def replace_by_gather(self, node: Node, axis: int, indices: np.ndarray) -> None:
        """Let a Gather with constant indices take a node's place."""
        twin = self.twin(node)
        twin.op, twin.domain = "Gather", None
        twin.attrs.clear()
        twin.attrs["axis"] = axis
        indices = indices.astype(np.int64)
        twin.inputs = [twin.inputs[0], self.constant(f"{node.name}_indices", indices)]

    def bypass(self, node: Node, source: str) -> None:
        """Let a node read another value of its graph as its first input."""
        self.twin(node).inputs[0] = self._tensors[node.scope][source]

    def drop(self, node: Node) -> None:
        """Remove a node whose outputs nobody reads any more."""
        graph, twin = self._nodes[node.scope, node.index]
        twin.inputs.clear()
        twin.outputs.clear()
        graph.nodes.remove(twin)

    def reshape_value(self, scope: str, name: str, sizes: Mapping[int, int]) -> None:
        """Write new sizes into the declared shape of a value that has one."""
        self._sizes.setdefault(scope, {})[name] = sizes

    def export(self) -> onnx.ModelProto:
        """Return the edited model with everything around the graph as it was."""
        before = self._before
        exported = gs.export_onnx(self.graph, do_type_check=False)
        after = onnx.ModelProto()
        after.CopyFrom(before)
        after.graph.CopyFrom(exported.graph)
        del after.functions[:]
        _move_up(before.graph, after.graph)
        _restore_graph(before.graph, after.graph, "", self._sizes)
        return after


def _move_up(before: onnx.GraphProto, after: onnx.GraphProto) -> None:
    """Move initializers that only bodies read back into the main graph."""
    order = {t.name: i for i, t in enumerate(before.initializer)}
    found = {t.name: t for t in after.initializer}

    def visit(graph: onnx.GraphProto, own: set[str]) -> None:
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    body = attribute.g
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
    tensors = [_copy(t) for t in found.values()]
    del after.initializer[:]
    after.initializer.extend(sorted(tensors, key=lambda t: order.get(t.name, len(order))))


def _defined(graph: onnx.GraphProto) -> set[str]:
    return {o for n in graph.node for o in n.output} | {i.name for i in graph.input}


def _copy(tensor: TensorProto) -> TensorProto:
    copy = TensorProto()
    copy.CopyFrom(tensor)
    return copy


def _restore_graph(
    before: onnx.GraphProto,
    after: onnx.GraphProto,
    scope: str,
    sizes: Mapping[str, Mapping[str, Mapping[int, int]]],
) -> None:
    after.name, after.doc_string = before.name, before.doc_string
    del after.metadata_props[:]
    after.metadata_props.extend(before.metadata_props)
    declared = {i.name: i for i in (*before.input, *before.output)}
    for info in (*after.input, *after.output):
        if info.name in declared:
            info.CopyFrom(declared[info.name])
    del after.value_info[:]
    after.value_info.extend(before.value_info)
    for info in (*after.input, *after.output, *after.value_info):
        for axis, size in sizes.get(scope, {}).get(info.name, {}).items():
            dims = info.type.tensor_type.shape.dim
            if axis < len(dims) and dims[axis].HasField("dim_value"):
                dims[axis].dim_value = size
    if not before.name:
        after.ClearField("name")
    del after.quantization_annotation[:]
    after.quantization_annotation.extend(before.quantization_annotation)
    by_output = {n.output[0]: (i, n) for i, n in enumerate(before.node) if n.output}
    for node in after.node:
        index, twin = by_output.get(node.output[0], (0, None)) if node.output else (0, None)
        if twin is None or twin.op_type != node.op_type:
            continue
        for name in _LOST_BY_NODE:
            if getattr(twin, name):
                setattr(node, name, getattr(twin, name))
        node.metadata_props.extend(twin.metadata_props)
        bodies = {a.name: a.g for a in twin.attribute if a.HasField("g")}
        for attribute in node.attribute:
            if attribute.HasField("g") and attribute.name in bodies:
                inner = body_scope(scope, twin, index, attribute.name)
                _restore_graph(bodies[attribute.name], attribute.g, inner, sizes)
        have = {a.name for a in node.attribute}
        node.attribute.extend(
            a for a in twin.attribute
            if a.name not in have and not a.HasField("g") and _unsupported(a)
        )  # fmt: skip


def _unsupported(attribute: onnx.AttributeProto) -> bool:
    kinds = onnx.AttributeProto
    return attribute.type in (
        kinds.GRAPHS, kinds.TENSORS, kinds.SPARSE_TENSOR, kinds.SPARSE_TENSORS,
        kinds.TYPE_PROTO, kinds.TYPE_PROTOS,
    )  # fmt: skip
