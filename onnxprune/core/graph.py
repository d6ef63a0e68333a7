"""A read-only view of an ONNX graph: scoped value names, nested bodies, parameters.

Every value has one key in the whole model: its name, prefixed by the path of the body that defines
it (two branches of an If may both define a `y`). `Constant` nodes are parameters like initializers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import onnx
from onnx import TensorProto, helper

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PER_INDEX_TYPES = frozenset(
    getattr(TensorProto, name)
    for name in (
        "FLOAT FLOAT16 DOUBLE BFLOAT16 FLOAT8E4M3FN FLOAT8E4M3FNUZ FLOAT8E5M2 FLOAT8E5M2FNUZ INT8 "
        "UINT8 INT4 UINT4 INT32 INT16 UINT16 FLOAT4E2M1 INT2 UINT2"
    ).split()
    if hasattr(TensorProto, name)
)
"""Element types of weights (64-bit integers are shapes)."""

LABELLED_TYPES = PER_INDEX_TYPES | {TensorProto.BOOL}
"""Element types of parameters whose indices can be channels: weights, and masks over them."""

SELECT = "Select"
INTERNAL = "onnxprune"
"""Operator and domain, in this view only, of an Identity at which a consumer may drop indices."""

SELECT_AXIS = "onnxprune.select"
"""Metadata of such an Identity: the axis along which it may."""

ILL_FORMED = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)
"""What reading a node raises when its inputs or attributes contradict its operator."""

FREE_INITIALIZERS = 4
"""IR version from which an initializer that is also an input is a default value."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """An initializer or the tensor of a Constant node.

    Attributes:
        key: scoped name.
        tensor: the tensor; its payload may be a stub that only the model can resolve.
        shape: sizes of its axes.
        constant: whether it comes from a Constant node.
        overridable: whether it is also a graph input, so that a caller may replace it.
    """

    key: str
    tensor: TensorProto
    shape: tuple[int, ...]
    constant: bool = False
    overridable: bool = False

    @property
    def dtype(self) -> int:
        """ONNX element type."""
        return int(self.tensor.data_type)


@dataclass(slots=True, eq=False)
class Node:
    """An operator of a graph, with scoped value keys.

    Attributes:
        op: operator type.
        domain: operator domain, "" for ai.onnx.
        opset: version of the domain that the model imports.
        since: version of the operator's schema in force, 0 when there is no schema.
        name: the node's name, or a stand-in made of operator and position.
        inputs: scoped keys, "" for an input left out.
        outputs: scoped keys, "" for an output left out.
        attributes: decoded attributes without graphs.
        bodies: graph attributes.
        proto: the node itself.
        scope: path of the body that holds the node, "" for the main graph.
        index: position in its graph.
    """

    op: str
    domain: str
    opset: int
    since: int
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    bodies: Mapping[str, Graph]
    proto: onnx.NodeProto
    scope: str
    index: int

    def input(self, position: int) -> str:
        """Return the key of an input, "" when it is absent."""
        return self.inputs[position] if position < len(self.inputs) else ""

    def output(self, position: int) -> str:
        """Return the key of an output, "" when it is absent."""
        return self.outputs[position] if position < len(self.outputs) else ""

    def attribute(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - ONNX decides
        """Return a decoded attribute or the default."""
        value = self.attributes.get(name, default)
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else value

    @property
    def where(self) -> str:
        """Say where the node is, for messages."""
        return f"node '{self.name}' ({self.op}, opset {self.opset})"


@dataclass(slots=True, eq=False)
class Graph:
    """The main graph or the body of a control-flow node.

    Attributes:
        scope: path of the body, "" for the main graph, else ending in "/".
        nodes: nodes in order, `Constant` nodes excepted.
        inputs: keys of the inputs that are not parameters.
        outputs: keys of the outputs.
        parameters: initializers and constants of this graph by key.
        types: declared types by key (inputs, outputs, value infos).
        parent: the graph around a body.
    """

    scope: str
    nodes: list[Node] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    parameters: dict[str, Parameter] = field(default_factory=dict)
    types: dict[str, onnx.TypeProto] = field(default_factory=dict)
    opsets: dict[str, int] = field(default_factory=dict)
    ir_version: int = 8

    def walk(self) -> Iterator[Graph]:
        """Yield this graph and all bodies below it."""
        yield self
        for node in self.nodes:
            for body in node.bodies.values():
                yield from body.walk()

    def all_nodes(self) -> Iterator[Node]:
        """Yield every node of this graph and of all bodies below it."""
        for graph in self.walk():
            yield from graph.nodes

    def unread(self) -> frozenset[str]:
        """Return the keys of values here and in all bodies below that nothing reads."""
        made = {o for node in self.all_nodes() for o in node.outputs}
        read = {k for graph in self.walk() for k in graph.outputs}
        return frozenset(made.difference(read, *(n.inputs for n in self.all_nodes())))

    def all_parameters(self) -> dict[str, Parameter]:
        """Return every parameter of this graph and of all bodies below it, by key."""
        return {k: p for graph in self.walk() for k, p in graph.parameters.items()}


def build_graph(proto: onnx.ModelProto) -> Graph:
    """Build the view of a model whose local functions were inlined before."""
    opsets = {("" if o.domain == "ai.onnx" else o.domain): o.version for o in proto.opset_import}
    # before IR version 4 every initializer had to be listed as an input and could not be replaced
    graph = _build(proto.graph, "", {}, opsets, overridable=proto.ir_version >= FREE_INITIALIZERS)
    graph.ir_version = proto.ir_version
    return graph


def _build(
    proto: onnx.GraphProto,
    scope: str,
    outer: Mapping[str, str],
    opsets: dict[str, int],
    *,
    overridable: bool = True,
) -> Graph:
    graph = Graph(scope, opsets=opsets)
    names = dict(outer)

    def define(name: str) -> str:
        if not name:
            return ""
        names[name] = scope + name
        return names[name]

    declared = {i.name for i in proto.input} if overridable else set()
    for tensor in proto.initializer:
        key = define(tensor.name)
        graph.parameters[key] = Parameter(
            key, tensor, tuple(tensor.dims), overridable=tensor.name in declared
        )
    for sparse in proto.sparse_initializer:
        define(sparse.values.name)
    for info in proto.input:
        if scope + info.name not in graph.parameters:
            graph.inputs.append(define(info.name))
        graph.types[scope + info.name] = info.type
    for info in (*proto.value_info, *proto.output):
        graph.types.setdefault(scope + info.name, info.type)
    for index, node in enumerate(proto.node):
        _add_node(graph, node, index, names, define, opsets)
    graph.outputs = [names.get(o.name, scope + o.name) for o in proto.output]
    return graph


def _add_node(graph, node, index, names, define, opsets) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    domain = "" if node.domain == "ai.onnx" else node.domain
    name = node.name or f"{node.op_type}_{index}"
    if node.op_type == "Constant" and not domain and len(node.output) == 1:
        tensor = constant_tensor(node)
        if tensor is not None:
            key = define(node.output[0])
            graph.parameters[key] = Parameter(key, tensor, tuple(tensor.dims), constant=True)
            return
    inputs = tuple(names.get(i, "") for i in node.input)
    attributes: dict[str, Any] = {}
    bodies: dict[str, Graph] = {}
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            inner = body_scope(graph.scope, node, index, attribute.name)
            bodies[attribute.name] = _build(attribute.g, inner, names, opsets)
        elif attribute.type == onnx.AttributeProto.TENSOR:
            attributes[attribute.name] = attribute.t
        else:
            attributes[attribute.name] = helper.get_attribute_value(attribute)
    version = opsets.get(domain, 1)
    op = node.op_type
    selected = next((p.value for p in node.metadata_props if p.key == SELECT_AXIS), "")
    if op == "Identity" and not domain and selected.isdecimal():
        op, domain, attributes["axis"] = SELECT, INTERNAL, int(selected)
    try:
        since = onnx.defs.get_schema(op, version, domain).since_version
    except onnx.defs.SchemaError:
        since = 0
    graph.nodes.append(
        Node(
            op,
            domain,
            version,
            since,
            name,
            inputs,
            tuple(define(o) for o in node.output),
            attributes,
            bodies,
            node,
            graph.scope,
            index,
        )
    )


def body_scope(scope: str, node: onnx.NodeProto, index: int, attribute: str) -> str:
    """Return the path of a body: the node's name, or operator and position, and the attribute."""
    return f"{scope}{node.name or f'{node.op_type}_{index}'}.{attribute}/"


def constant_tensor(node: onnx.NodeProto) -> TensorProto | None:
    """Return the tensor of a Constant node, None for sparse values and strings."""
    for attribute in node.attribute:
        match attribute.name:
            case "value":
                return attribute.t
            case "value_int":
                return helper.make_tensor("", TensorProto.INT64, (), [attribute.i])
            case "value_ints":
                return helper.make_tensor(
                    "", TensorProto.INT64, (len(attribute.ints),), attribute.ints
                )
            case "value_float":
                return helper.make_tensor("", TensorProto.FLOAT, (), [attribute.f])
            case "value_floats":
                return helper.make_tensor(
                    "", TensorProto.FLOAT, (len(attribute.floats),), attribute.floats
                )
            case _:
                continue
    return None
