"""Run a stretch of a graph as a small model of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from onnxprune.runtime.session import open_session, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from onnxprune.runtime.feeds import Array, Feed

__all__ = ["Program", "needed_steps", "open_segment"]

_FED_FROM = 32 << 20
"""A weight of so many bytes is fed instead of copied into the segment."""


@dataclass(frozen=True, slots=True)
class Step:
    """A node of the main graph.

    Attributes:
        proto: the node.
        reads: values and weights it reads, those its bodies capture included.
        writes: values it makes.
    """

    proto: onnx.NodeProto
    reads: tuple[str, ...]
    writes: tuple[str, ...]


class Program:
    """The main graph of a model as a list of nodes with what they read and write.

    Args:
        proto: a model without local functions.
        read: returns the content of a tensor.
    """

    def __init__(self, proto: onnx.ModelProto, read: Callable[[TensorProto], Array]) -> None:
        self.opsets = list(proto.opset_import)
        self.ir_version = proto.ir_version
        self.outputs = tuple(o.name for o in proto.graph.output)
        self.inputs = tuple(i.name for i in proto.graph.input)
        self._read = read
        self._tensors = {t.name: t for t in proto.graph.initializer}
        self._sparse = {s.values.name: s for s in proto.graph.sparse_initializer}
        self._constants: dict[str, onnx.NodeProto] = {}
        known = {*self._tensors, *self._sparse, *self.inputs}
        self.steps: list[Step] = []
        for node in proto.graph.node:
            if node.op_type == "Constant" and node.domain in ("", "ai.onnx"):
                self._constants[node.output[0]] = node
                held = [a.t for a in node.attribute if a.name == "value"]
                if held:  # its payload may be a stub that no runtime can read
                    self._tensors[node.output[0]] = held[0]
            names = dict.fromkeys((*node.input, *captured(node)))
            known.update(o for o in node.output if o)
            reads = tuple(n for n in names if n and n in known)
            self.steps.append(Step(node, reads, tuple(o for o in node.output if o)))
        self.last_use = {n: i for i, s in enumerate(self.steps) for n in s.reads}
        self.last_use.update(dict.fromkeys(self.outputs, len(self.steps)))

    def is_weight(self, name: str) -> bool:
        """Tell whether a name is an initializer or the output of a Constant node."""
        return name in self._tensors or name in self._constants or name in self._sparse

    def weight(self, name: str) -> TensorProto | None:
        """Return the tensor of an initializer or Constant."""
        return self._tensors.get(name)

    def content(self, tensor: TensorProto) -> Array:
        """Return the content of a tensor."""
        return self._read(tensor)

    def constant(self, name: str) -> onnx.NodeProto | None:
        """Return the Constant node that makes a value."""
        return self._constants.get(name)

    def sparse(self, name: str) -> onnx.SparseTensorProto | None:
        """Return a sparse initializer."""
        return self._sparse.get(name)


def needed_steps(program: Program, numbers: Sequence[int], wanted: Iterable[str]) -> list[int]:
    """Return those of some nodes that wanted values need, constants excepted."""
    needed = set(wanted)
    kept = []
    for number in reversed(numbers):
        step = program.steps[number]
        if needed & set(step.writes) and program.constant(step.writes[0]) is None:
            kept.append(number)
            needed |= set(step.reads)
    return kept[::-1]


def captured(node: onnx.NodeProto) -> Iterator[str]:
    """Yield names that the bodies of a node read, inner names included."""
    for attribute in node.attribute:
        for body in (*((attribute.g,) if attribute.HasField("g") else ()), *attribute.graphs):
            yield from (o.name for o in body.output)
            for inner in body.node:
                yield from inner.input
                yield from captured(inner)


@dataclass(frozen=True, slots=True)
class Mask:
    """Zeros that an input of a node is multiplied with.

    Attributes:
        step: number of the node.
        position: its input.
        keep: what the input is multiplied with, of the input's type.
    """

    step: int
    position: int
    keep: Array


def open_segment(  # noqa: C901 - where a value comes from has many cases
    program: Program,
    numbers: Sequence[int],
    wanted: Iterable[str],
    *,
    weights: Mapping[str, Array],
    masks: Sequence[Mask] = (),
    biases: Mapping[int, Array],
    like: Mapping[str, Array],
    threads: int = 1,
) -> Callable[[Feed], dict[str, Array]]:
    """Make a function that runs some nodes.

    Args:
        program: the graph.
        numbers: the nodes, in order.
        wanted: values to return.
        weights: what initializers hold instead of their content.
        masks: masks on inputs of these nodes.
        biases: vectors that nodes without a third input get as such.
        like: an example of every value that comes from outside, for its type; weights, biases and
            masks named here come from outside as well.
        threads: threads within an operator.

    Returns:
        A function from outside values to the wanted ones.
    """
    wanted = list(dict.fromkeys(wanted))
    made: set[str] = set()
    nodes: list[onnx.NodeProto] = []
    outside: dict[str, None] = {}
    initializers: dict[str, TensorProto] = {}
    sparse: list[onnx.SparseTensorProto] = []
    fed: dict[str, Array] = {}
    masked = _by_place(masks)

    def bring(name: str) -> None:
        if name in made or name in initializers or name in fed:
            return
        if name in like:
            outside.setdefault(name)
            return
        constant = program.constant(name)
        if name not in weights and constant is not None and program.weight(name) is None:
            nodes.append(constant)
            made.add(name)
            return
        found = program.sparse(name)
        if found is not None:
            sparse.append(found)
            made.add(name)
            return
        array = _array(program, name, weights)
        if array is None:
            outside.setdefault(name)
        elif array.nbytes >= _FED_FROM:
            fed[name] = array
        else:
            initializers[name] = _tensor(program, name, array)

    for name in wanted:
        if program.is_weight(name):
            bring(name)
    for number in numbers:
        step = program.steps[number]
        if step.writes and program.constant(step.writes[0]) is not None:
            continue  # brought where it is read
        for name in step.reads:
            bring(name)
        added, extra = _rewired(step.proto, number, masked, biases)
        nodes += added
        for name, array in extra.items():
            if name in like:
                outside.setdefault(name)
            else:
                initializers[name] = numpy_helper.from_array(array, name)
        made.update(step.writes)
    inputs = [_info(n, like[n]) for n in outside] + [_info(n, a) for n, a in fed.items()]
    outputs = [helper.make_empty_tensor_value_info(n) for n in wanted]
    graph = helper.make_graph(nodes, "segment", inputs, outputs, list(initializers.values()))
    graph.sparse_initializer.extend(sparse)
    model = helper.make_model(graph, ir_version=program.ir_version, opset_imports=program.opsets)
    session = open_session(model.SerializeToString(), optimize=True, threads=threads)

    def call(feed: Feed) -> dict[str, Array]:
        values = run(session, {**{n: feed[n] for n in outside}, **fed})
        return {n: v for n, v in zip(wanted, values, strict=True) if v is not None}

    return call


def _array(program: Program, name: str, weights: Mapping[str, Array]) -> Array | None:
    if name in weights:
        return weights[name]
    tensor = program.weight(name)
    return None if tensor is None else program.content(tensor)


def _tensor(program: Program, name: str, array: Array) -> TensorProto:
    tensor = program.weight(name)
    if tensor is None:
        return numpy_helper.from_array(np.asarray(array, order="C"), name)
    if array.dtype.kind == "O":  # strings
        return tensor
    result = numpy_helper.from_array(np.asarray(array, order="C"), name)
    result.data_type = tensor.data_type
    return result


def bias_name(output: str) -> str:
    """Name the bias that the node with a given output gets."""
    return f"{output}/bias"


def mask_name(number: int, position: int) -> str:
    """Name what an input of a node is multiplied with."""
    return f"onnxprune/keep/{number}/{position}"


def _by_place(masks: Iterable[Mask]) -> dict[int, dict[int, Array]]:
    """Return what inputs are multiplied with by node and position."""
    found: dict[int, dict[int, Array]] = {}
    for mask in masks:
        mine = found.setdefault(mask.step, {})
        before = mine.get(mask.position)
        mine[mask.position] = mask.keep if before is None else mask.keep * before
    return found


def _rewired(
    node: onnx.NodeProto,
    number: int,
    masked: Mapping[int, Mapping[int, Array]],
    biases: Mapping[int, Array],
) -> tuple[list[onnx.NodeProto], dict[str, Array]]:
    """Return a node with its masks and new bias, and the arrays that these are."""
    if number not in biases and number not in masked:
        return [node], {}
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    nodes, arrays = [copy], {}
    if number in biases:
        name = bias_name(node.output[0])
        del copy.input[2:]
        copy.input.append(name)
        arrays[name] = biases[number]
    for position, keep in masked.get(number, {}).items():
        name = mask_name(number, position)
        product = f"{name}/product"
        nodes.insert(0, helper.make_node("Mul", [copy.input[position], name], [product]))
        copy.input[position] = product
        arrays[name] = keep
    return nodes, arrays


def _info(name: str, array: Array) -> onnx.ValueInfoProto:
    strings = array.dtype.kind == "O"
    kind = TensorProto.STRING if strings else helper.np_dtype_to_tensor_dtype(array.dtype)
    return helper.make_tensor_value_info(name, kind, [None] * array.ndim)
