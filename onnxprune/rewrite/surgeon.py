"""Edit a graph through ONNX-GraphSurgeon, and restore what its round trip loses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from onnx import TensorProto, numpy_helper
from onnx_graphsurgeon.ir.tensor import LazyValues

from onnxprune.core.graph import FREE_INITIALIZERS
from onnxprune.rewrite.restore import restore

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from onnxprune.core.graph import Graph, Node

gs.logger.G_LOGGER.severity = gs.logger.G_LOGGER.ERROR  # it writes to stdout


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
        self._declared = {i.name for i in proto.graph.input} | {o.name for o in proto.graph.output}
        self._taken = {t.name for g in self._graphs(self.graph) for t in g.tensors().values()}
        self._nodes: dict[tuple[str, int], tuple[gs.Graph, gs.Node]] = {}
        self._scopes: dict[str, gs.Graph] = {}
        self._tensors: dict[str, dict[str, gs.Tensor]] = {}
        self._sizes: dict[str, dict[str, Mapping[int, int]]] = {}
        self._operands: dict[tuple[object, ...], gs.Constant] = {}
        self._gone: set[str] = set()
        self._stands_for: dict[str, str] = {}

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
        existing = self._find(scope, name)
        if existing is None:  # nobody reads it
            return
        self._replace(existing, tensor)

    @staticmethod
    def _replace(existing: gs.Tensor, tensor: TensorProto) -> None:
        if isinstance(existing, gs.Constant):
            existing.values = LazyValues(tensor)
            existing.data_location = tensor.data_location or None
        else:  # the output of a Constant node
            attributes = existing.inputs[0].attrs
            attributes.clear()
            attributes["value"] = gs.Constant(existing.name, LazyValues(tensor))

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
        """Make an input a constant of its own; one that nobody else reads keeps its name."""
        twin = self.twin(node)
        while len(twin.inputs) <= position:
            twin.inputs.append(gs.Variable.empty())
        tensor = twin.inputs[position]
        made_by = tensor.inputs[0].op if tensor.inputs else ""
        constant = isinstance(tensor, gs.Constant) or made_by == "Constant"
        if constant and len(tensor.outputs) == 1 and tensor.name not in self._declared:
            self._replace(tensor, numpy_helper.from_array(array, tensor.name))
            return
        stem = tensor.name or f"{node.name}_operand"
        same = (stem, array.dtype.str, array.shape, array.tobytes())
        if same not in self._operands:
            self._operands[same] = self.constant(f"{stem}_pruned", array)
        twin.inputs[position] = self._operands[same]

    @property
    def adds_initializers(self) -> bool:
        """Whether there may be initializers that are no inputs; else new ones become Constants."""
        return self._before.ir_version >= FREE_INITIALIZERS

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

    def mask_operand(self, node: Node, position: int, mask: np.ndarray, axis: int) -> None:
        """Multiply an input by a mask that repeats along an axis whose size depends on the input.

        Args:
            node: the consumer.
            position: the input.
            mask: one period of the mask, of the rank of the input.
            axis: the axis along which it repeats.
        """
        graph, twin = self._nodes[node.scope, node.index]
        value = twin.inputs[position]
        stem = f"{value.name}_masked"
        size = mask.shape[axis]
        ones = [self.constant(stem, np.ones(n, np.int64)) for n in (axis, mask.ndim - axis - 1)]
        steps: list[tuple[str, dict[str, int], list[Any]]] = [
            ("Shape", {}, [value]),
            ("Gather", {"axis": 0}, [None, np.array([axis], np.int64)]),
            ("Div", {}, [None, np.array([size], np.int64)]),
            ("Concat", {"axis": 0}, [ones[0], None, ones[1]]),
            ("Tile", {}, [mask, None]),
            ("Mul", {}, [value, None]),
        ]
        place = next(i for i, n in enumerate(graph.nodes) if n is twin)
        last: gs.Tensor | None = None
        for op, attributes, operands in steps:
            inputs = [
                last if o is None else self.constant(stem, o) if isinstance(o, np.ndarray) else o
                for o in operands
            ]
            last = gs.Variable(self.unique(stem))
            made = gs.Node(op, last.name, attributes, inputs=inputs, outputs=[last])
            graph.nodes.insert(place, made)
            place += 1
        twin.inputs[position] = last

    def select_operand(
        self,
        node: Node,
        position: int,
        keep: np.ndarray,
        zero: int,
        dtype: np.dtype[Any],
        shape: list[int] | None = None,
    ) -> None:
        """Let an input be the zero point (another input, or zero) where `keep` is false.

        With `shape`, the zero point is brought to it first.
        """
        graph, twin = self._nodes[node.scope, node.index]
        value = twin.inputs[position]
        stem = f"{value.name}_masked"
        point: gs.Tensor = self.constant(stem, np.zeros((), dtype))
        if zero < len(twin.inputs) and twin.inputs[zero].name:
            point = twin.inputs[zero]
        place = next(i for i, n in enumerate(graph.nodes) if n is twin)
        if shape is not None:
            flat, point = point, gs.Variable(self.unique(stem))
            inputs = [flat, self.constant(stem, np.array(shape, np.int64))]
            graph.nodes.insert(
                place, gs.Node("Reshape", point.name, inputs=inputs, outputs=[point])
            )
            place += 1
        output = gs.Variable(self.unique(stem))
        inputs = [self.constant(stem, keep), value, point]
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
        graph.nodes.insert(place + 1, gs.Node("Mul", name, inputs=[inner, scale], outputs=[output]))

    def replace_by_gather(self, node: Node, axis: int, indices: np.ndarray) -> None:
        """Let a Gather with constant indices take a node's place."""
        twin = self.twin(node)
        twin.op, twin.domain = "Gather", None
        twin.attrs.clear()
        twin.attrs["axis"] = axis
        indices = indices.astype(np.int64)
        twin.inputs = [twin.inputs[0], self.constant(f"{node.name}_indices", indices)]

    def replace_by_slice(self, node: Node, axis: int, start: int, end: int, *, old: bool) -> None:
        """Let a Slice take a node's place; old ones have their bounds as attributes."""
        twin = self.twin(node)
        twin.op, twin.domain = "Slice", None
        twin.attrs.clear()
        bounds = {"starts": [start], "ends": [end], "axes": [axis]}
        if old:
            twin.attrs.update(bounds)
            return
        stem = f"{node.name}_"
        arrays = [self.constant(stem + k, np.array(v, np.int64)) for k, v in bounds.items()]
        twin.inputs = [twin.inputs[0], *arrays]

    def gather_output(self, node: Node, axis: int, indices: np.ndarray) -> None:
        """Put a Gather behind a node; readers get what it leaves under the name they know."""
        graph, twin = self._nodes[node.scope, node.index]
        output = twin.outputs[0]
        whole = gs.Variable(self.unique(f"{output.name}_whole"))
        twin.outputs[0] = whole
        chosen = self.constant(f"{output.name}_indices", indices.astype(np.int64))
        place = next(i for i, n in enumerate(graph.nodes) if n is twin)
        name, attributes = self.unique(f"{output.name}_selected"), {"axis": axis}
        made = gs.Node("Gather", name, attributes, inputs=[whole, chosen], outputs=[output])
        graph.nodes.insert(place + 1, made)

    def bypass(self, node: Node, instead: Node | None = None) -> None:
        """Let readers of a node read its input, or the output of another one, and remove it."""
        graph, twin = self._nodes[node.scope, node.index]
        source = twin.inputs[0] if instead is None else self.twin(instead).outputs[0]
        gone = twin.outputs[0]
        for reader in list(gone.outputs):
            for position, tensor in enumerate(reader.inputs):
                if tensor is gone:
                    reader.inputs[position] = source
        twin.inputs.clear()
        twin.outputs.clear()
        place = next(i for i, n in enumerate(graph.nodes) if n is twin)
        del graph.nodes[place]

    def repeat(
        self, node: Node, place: Node, weights: Mapping[int, TensorProto], *, first: bool
    ) -> None:
        """Let a node do what another one does, with other weights.

        Args:
            node: the node to repeat.
            place: the node that does so too.
            weights: its own weights, by input.
            first: whether it takes the other one's name, and what else is said of that.
        """
        source, twin = self.twin(node), self.twin(place)
        twin.op, twin.domain, twin.attrs = source.op, source.domain, dict(source.attrs)
        inputs = list(source.inputs)
        for position, tensor in weights.items():
            weight = gs.Constant(tensor.name, LazyValues(tensor))
            weight.data_location = tensor.data_location or None
            inputs[position] = weight
        twin.inputs = inputs
        if first:
            twin.name = source.name
            self._stands_for[twin.outputs[0].name] = source.outputs[0].name

    def remove(self, node: Node) -> None:
        """Remove a node whose outputs nobody reads any more."""
        graph, twin = self._nodes[node.scope, node.index]
        self._gone.update(t.name for t in twin.outputs)
        twin.inputs.clear()
        twin.outputs.clear()
        del graph.nodes[next(i for i, n in enumerate(graph.nodes) if n is twin)]

    def is_read(self, node: Node, name: str) -> bool:
        """Tell whether somebody reads an output of a node."""
        return any(t.name == name and t.outputs for t in self.twin(node).outputs)

    def is_gone(self, node: Node) -> bool:
        """Tell whether a node was taken out."""
        return bool(node.outputs) and not self.twin(node).outputs

    def replace_node(self, node: Node, tensors: Mapping[str, TensorProto]) -> None:
        """Let weights take the place of a node's outputs; what was only computed for it goes."""
        graph, twin = self._nodes[node.scope, node.index]
        for output in twin.outputs:
            if output.name in tensors:
                weight = gs.Constant(output.name, LazyValues(tensors[output.name]))
                for reader in list(output.outputs):
                    reader.inputs = [weight if t is output else t for t in reader.inputs]
        waiting = [twin]
        while waiting:
            dead = waiting.pop()
            if not dead.outputs or any(t.outputs or t.name in self._declared for t in dead.outputs):
                continue
            waiting += [made for t in dead.inputs for made in t.inputs]
            dead.inputs.clear()
            dead.outputs.clear()
            del graph.nodes[next(i for i, n in enumerate(graph.nodes) if n is dead)]

    def reshape_value(self, scope: str, name: str, sizes: Mapping[int, int]) -> None:
        """Write new sizes into the declared shape of a value that has one."""
        self._sizes.setdefault(scope, {})[name] = sizes

    def resized(self) -> set[str]:
        """Return the names of the values that got new sizes."""
        return {name for sizes in self._sizes.values() for name in sizes}

    def export(self) -> onnx.ModelProto:
        """Return the edited model with everything around the graph as it was."""
        exported = gs.export_onnx(self.graph, do_type_check=False)
        written = restore(self._before, exported, self._sizes, self._stands_for)
        shapes = [v for v in written.graph.value_info if v.name not in self._gone]
        notes = [q for q in written.graph.quantization_annotation
                 if q.tensor_name not in self._gone]  # fmt: skip
        del written.graph.value_info[:], written.graph.quantization_annotation[:]
        written.graph.value_info.extend(shapes)
        written.graph.quantization_annotation.extend(notes)
        return written
