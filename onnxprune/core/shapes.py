"""Concretize: the shape of every value, and the content of every small integer value.

Symbolic dimensions get probe sizes. The graph is walked twice with different sizes, so that what
depends on them is known to be dynamic. Shapes that depend on data stay unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, TypeProto, helper, numpy_helper, shape_inference

from onnxprune.core.evaluate import KNOWN_ELEMENTS, evaluate
from onnxprune.core.graph import ILL_FORMED, INTERNAL, SELECT
from onnxprune.core.infer import infer_registered
from onnxprune.core.trips import trips

if TYPE_CHECKING:
    from collections.abc import Callable

    from onnxprune.core.graph import Graph, Node, Parameter

    ReadTensor = Callable[[TensorProto], np.ndarray]

Shape = tuple[int, ...]
Inferred = Sequence[tuple[int, Shape] | None]
"""Element type and shape of each output, None where they are not known."""

_INTEGERS = frozenset({TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL})
_KNOWN_FLOATS = 8
_SAME_AS_FIRST = frozenset(
    (
        "Abs Acos Acosh Asin Asinh Atan Atanh BitwiseNot Ceil Celu Clip Cos Cosh Elu Erf Exp "
        "Floor Gelu GroupNormalization HardSigmoid HardSwish Identity LeakyRelu Log LogSoftmax "
        "MeanVarianceNormalization Mish Neg Not PRelu Reciprocal Relu Round Selu Shrink Sigmoid "
        "Sign Sin Sinh Softmax Softplus Softsign Sqrt Swish Tan Tanh ThresholdedRelu"
    ).split()
)
_BROADCAST = frozenset(("Add And Div Mod Mul Or Pow Sub Xor Max Min Mean Sum").split())
_COMPARE = frozenset(("Equal Greater GreaterOrEqual Less LessOrEqual").split())

_WINDOWS = frozenset("AveragePool Conv ConvInteger LpPool MaxPool QLinearConv STFT".split())


@dataclass(slots=True)
class Shapes:
    """Shapes and known contents of all values for one setting of the symbolic dimensions.

    Attributes:
        dims: size of each symbolic dimension.
        shapes: shape by key, None when unknown.
        dtypes: ONNX element type by key.
        known: content by key, for small integer values and what is computed from them.
        dynamic: by key, which axes depend on a symbolic dimension (set by `concretize`).
        static: keys of known contents that do not (set by `concretize`).
        inconsistent: first node whose inputs do not fit together at these sizes, "" if none.
    """

    dims: dict[str, int]
    shapes: dict[str, Shape | None] = field(default_factory=dict)
    dtypes: dict[str, int] = field(default_factory=dict)
    known: dict[str, np.ndarray] = field(default_factory=dict)
    dynamic: dict[str, tuple[bool, ...]] = field(default_factory=dict)
    static: frozenset[str] = frozenset()
    inconsistent: str = ""

    def shape(self, key: str) -> Shape | None:
        """Return the shape of a value, None when unknown."""
        return self.shapes.get(key)

    def is_dynamic(self, key: str, axis: int) -> bool:
        """Tell whether the size of an axis depends on a symbolic dimension."""
        flags = self.dynamic.get(key)
        return flags[axis] if flags is not None else True


def concretize(
    graph: Graph, read: ReadTensor, settings: list[dict[str, int]]
) -> tuple[Shapes, ...]:
    """Infer all shapes for several settings of the symbolic dimensions.

    Args:
        graph: the graph.
        read: returns the content of a parameter's tensor.
        settings: one or more mappings from symbol (see `symbols`) to size.

    Returns:
        One `Shapes` per setting; all share `dynamic`.
    """
    results = tuple(_Walker(graph, read, dims).run() for dims in settings)
    first = results[0]
    for result in results[1:]:  # what is unknown at one size is unknown
        for key, shape in result.shapes.items():
            other = first.shapes.get(key)
            if shape is None or other is None or len(shape) != len(other):
                first.shapes[key] = result.shapes[key] = None
    dynamic: dict[str, tuple[bool, ...]] = {}
    for key, shape in first.shapes.items():
        if shape is not None:
            others = [r.shapes.get(key) for r in results[1:]]
            dynamic[key] = tuple(
                any(o is None or len(o) != len(shape) or o[a] != s for o in others)
                for a, s in enumerate(shape)
            )
    static = frozenset(
        key
        for key, value in first.known.items()
        if all(key in r.known and np.array_equal(r.known[key], value) for r in results[1:])
    )
    for result in results:
        result.dynamic, result.static = dynamic, static
    return results


def symbols(graph: Graph) -> dict[str, list[tuple[str, int]]]:
    """Return the symbolic dimensions of the inputs: name -> places (input key, axis).

    A dimension without a name gets the name `input:axis`.
    """
    found: dict[str, list[tuple[str, int]]] = {}
    for key in graph.inputs:
        declared = graph.types.get(key)
        if declared is None or not declared.HasField("tensor_type"):
            continue
        for axis, dim in enumerate(declared.tensor_type.shape.dim):
            name = dim_symbol(key, axis, dim)
            if name is not None:
                found.setdefault(name, []).append((key, axis))
    return found


def dim_symbol(key: str, axis: int, dim: onnx.TensorShapeProto.Dimension) -> str | None:
    """Return the symbol of a dimension, None when its size is fixed."""
    if dim.HasField("dim_value") and dim.dim_value > 0:
        return None
    named = dim.HasField("dim_param") and dim.dim_param not in ("", "?")
    return dim.dim_param if named else f"{key}:{axis}"


class _Walker:
    def __init__(self, graph: Graph, read: ReadTensor, dims: dict[str, int]) -> None:
        self.graph = graph
        self.read = read
        self.out = Shapes(dict(dims))
        self.opsets = [helper.make_opsetid(d, v) for d, v in graph.opsets.items()]

    def run(self) -> Shapes:
        for key in self.graph.inputs:
            declared = self.graph.types.get(key)
            if declared is None or not declared.HasField("tensor_type"):
                self.out.shapes[key] = None
                continue
            tensor = declared.tensor_type
            self.out.dtypes[key] = tensor.elem_type
            if not tensor.HasField("shape"):
                self.out.shapes[key] = None
                continue
            sizes = []
            for axis, dim in enumerate(tensor.shape.dim):
                symbol = dim_symbol(key, axis, dim)
                sizes.append(dim.dim_value if symbol is None else self.out.dims.get(symbol, 2))
            self.out.shapes[key] = tuple(sizes)
        self.walk(self.graph)
        return self.out

    def walk(self, graph: Graph) -> None:
        for parameter in graph.parameters.values():
            self.parameter(parameter)
        for node in graph.nodes:
            try:
                self.node(node)
            except ILL_FORMED:
                self.out.shapes.update((key, None) for key in node.outputs if key)
                self.disagree(node)

    def parameter(self, parameter: Parameter) -> None:
        key = parameter.key
        self.out.shapes[key] = parameter.shape
        self.out.dtypes[key] = parameter.dtype
        size = int(np.prod(parameter.shape, dtype=np.int64))
        limit = KNOWN_ELEMENTS if parameter.dtype in _INTEGERS else _KNOWN_FLOATS
        if size <= limit and not parameter.overridable and parameter.dtype != TensorProto.STRING:
            self.out.known[key] = self.read(parameter.tensor)

    def node(self, node: Node) -> None:
        out = self.out
        if node.bodies:
            self.bodies(node)
            return
        if node.op == SELECT and node.domain == INTERNAL:
            self.copy(node.inputs[0], node.outputs[0])
            return
        if not node.domain:
            if node.op in ("Shape", "Size") and out.shapes.get(node.inputs[0]) is not None:
                sizes = np.array(out.shapes[node.inputs[0]], np.int64)
                value = (
                    sizes[node.attribute("start", 0) : node.attribute("end", None)]
                    if node.op == "Shape"
                    else np.array(sizes.prod(), np.int64)
                )
                self.remember(node.outputs[0], value)
                return
            given = [out.known.get(i) if i else None for i in node.inputs]
            if node.inputs and all(
                v is not None or not i for v, i in zip(given, node.inputs, strict=True)
            ):
                known = evaluate(node, given)
                if known is not None:
                    for key, value in zip(node.outputs, known, strict=True):
                        if key:
                            self.remember(key, value)
                    return
            if self.quick(node):
                return
        self.infer(node)

    def remember(self, key: str, value: np.ndarray) -> None:
        if (
            np.issubdtype(value.dtype, np.integer)
            or value.dtype == bool
            or (value.size <= _KNOWN_FLOATS)
        ):
            self.out.known[key] = value
        self.out.shapes[key] = value.shape
        self.out.dtypes[key] = int(helper.np_dtype_to_tensor_dtype(value.dtype))

    def quick(self, node: Node) -> bool:
        out = self.out
        first = out.shapes.get(node.inputs[0]) if node.inputs else None
        if first is None:
            return False
        if node.op in _SAME_AS_FIRST:
            shape: Shape | None = first
        elif (node.op in _BROADCAST and node.opset > 6) or node.op in _COMPARE:
            shapes = [out.shapes.get(i) for i in node.inputs]
            if any(s is None for s in shapes):
                return False
            try:
                shape = np.broadcast_shapes(*(s for s in shapes if s is not None))
            except ValueError:
                self.disagree(node)
                shape = None
        elif node.op in ("Squeeze", "Unsqueeze") and min(node.attribute("axes") or [0]) < 0:
            # onnx's inference ignores negative axes before opset 11, runtimes take them
            empty = np.broadcast_to(np.int8(0), first)
            regroup = np.squeeze if node.op == "Squeeze" else np.expand_dims
            try:
                shape = regroup(empty, tuple(node.attribute("axes"))).shape
            except ValueError:
                return False
        else:
            return False
        out.shapes[node.outputs[0]] = shape
        kind = TensorProto.BOOL if node.op in _COMPARE else out.dtypes.get(node.inputs[0], 0)
        out.dtypes[node.outputs[0]] = kind
        return True

    def disagree(self, node: Node) -> None:
        self.out.inconsistent = self.out.inconsistent or node.where

    def infer(self, node: Node) -> None:
        out = self.out
        for key in node.outputs:
            if key:
                out.shapes[key] = None
        try:
            schema = onnx.defs.get_schema(node.op, node.opset, node.domain)
        except onnx.defs.SchemaError:
            self.infer_contrib(node)
            return
        operands = self.operands(node)
        if operands is None:
            return
        types, data = operands
        try:
            inferred = shape_inference.infer_node_outputs(
                schema, node.proto, types, data, opset_imports=self.opsets,
                ir_version=self.graph.ir_version,
            )  # fmt: skip
        except shape_inference.InferenceError:
            self.disagree(node)
            return
        except (onnx.checker.ValidationError, RuntimeError, KeyError, TypeError, ValueError):
            return
        for raw, key in zip(node.proto.output, node.outputs, strict=True):
            if key and raw in inferred:
                self.declare(key, inferred[raw])
        if node.domain and any(out.shapes[k] is None for k in node.outputs if k):
            self.infer_contrib(node)
        self.check_regrouping(node)
        self.check_window(node)

    def operands(self, node: Node) -> tuple[dict[str, TypeProto], dict[str, TensorProto]] | None:
        """Return types and known contents of a node's inputs, None when a type is unknown."""
        out = self.out
        types, data = {}, {}
        for raw, key in zip(node.proto.input, node.inputs, strict=True):
            if not raw:
                continue
            kind = out.dtypes.get(key)
            if kind is None:
                return None
            types[raw] = helper.make_tensor_type_proto(kind, out.shapes.get(key))
            if key in out.known:
                data[raw] = numpy_helper.from_array(np.ascontiguousarray(out.known[key]), raw)
        return types, data

    def check_regrouping(self, node: Node) -> None:
        """Find a Reshape whose target does not hold its input at these sizes."""
        if node.domain or node.op not in ("Reshape", "Flatten"):
            return
        before = self.out.shapes.get(node.inputs[0])
        after = self.out.shapes.get(node.outputs[0])
        if before is not None and after is not None and np.prod(before) != np.prod(after):
            self.out.shapes[node.outputs[0]] = None
            self.disagree(node)

    def check_window(self, node: Node) -> None:
        """Find a window that is larger than what it slides over, so that nothing comes out."""
        if node.op in _WINDOWS and not node.domain:
            before, after = (self.out.shapes.get(k) for k in (node.inputs[0], node.outputs[0]))
            if before is not None and after is not None and min(after) < 1 <= min(before):
                self.disagree(node)

    def infer_contrib(self, node: Node) -> None:
        """Ask rules, then declared types, about operators of whose shapes onnx says nothing."""
        registered = infer_registered(self.out, node)
        found = registered or ()
        told = all(self.out.shapes.get(k) is not None for k in node.inputs if k)
        if registered is not None and not found and told:
            self.disagree(node)
        for position, key in enumerate(node.outputs):
            inferred = found[position] if position < len(found) else None
            if key and inferred is not None:
                self.out.dtypes[key], self.out.shapes[key] = inferred
                continue
            declared = self.graph.types.get(key)
            if declared is not None:
                self.declare(key, declared)

    def declare(self, key: str, declared: TypeProto) -> None:
        if not declared.HasField("tensor_type"):
            return
        tensor = declared.tensor_type
        self.out.dtypes[key] = tensor.elem_type
        if not tensor.HasField("shape"):
            return
        sizes = []
        for dim in tensor.shape.dim:
            size = dim.dim_value if dim.HasField("dim_value") else self.out.dims.get(dim.dim_param)
            if size is None:
                return
            sizes.append(size)
        self.out.shapes[key] = tuple(sizes)

    # ---- control flow --------------------------------------------------------------------------

    def bodies(self, node: Node) -> None:
        handler = {"If": self.branch, "Loop": self.loop, "Scan": self.scan}.get(node.op)
        for key in node.outputs:
            if key:
                self.out.shapes[key] = None
        if handler is None or node.domain:
            return
        handler(node)

    def copy(self, source: str, target: str, *, drop: int = 0) -> None:
        if not target:
            return
        shape = self.out.shapes.get(source)
        self.out.shapes[target] = shape[drop:] if shape is not None else None
        if source in self.out.dtypes:
            self.out.dtypes[target] = self.out.dtypes[source]

    def branch(self, node: Node) -> None:
        chosen = node.bodies["then_branch"]
        for body in node.bodies.values():
            self.walk(body)
        condition = self.out.known.get(node.inputs[0])
        if condition is not None and not condition.any():
            chosen = node.bodies["else_branch"]
        for position, key in enumerate(node.outputs):
            sources = [body.outputs[position] for body in node.bodies.values()]
            shapes = [self.out.shapes.get(s) for s in sources]
            if condition is None and len(set(shapes)) > 1:
                kind = self.out.dtypes.get(sources[0])
                if key and kind is not None:
                    self.out.dtypes[key] = kind
                continue
            self.copy(chosen.outputs[position], key)

    def loop(self, node: Node) -> None:
        body = node.bodies["body"]
        states = node.inputs[2:]
        for key, dtype in zip(body.inputs, (TensorProto.INT64, TensorProto.BOOL), strict=False):
            self.out.shapes[key], self.out.dtypes[key] = (), dtype
        inner = body.inputs[2 : 2 + len(states)]
        for source, target in zip(states, inner, strict=False):
            self.copy(source, target)
        self.walk(body)
        results = body.outputs[1 : 1 + len(states)]
        changed = [
            self.out.shapes.get(a) != self.out.shapes.get(b)
            for a, b in zip(inner, results, strict=False)
        ]
        if any(changed):  # a state that grows: its shape is not known, nor what follows from it
            for target, grows in zip(inner, changed, strict=True):
                if grows:
                    self.out.shapes[target] = None
            self.walk(body)
        for source, target in zip(results, node.outputs, strict=False):
            self.copy(source, target)
        count = trips(node, self.out.known)
        for source, target in zip(
            body.outputs[1 + len(states) :], node.outputs[len(states) :], strict=False
        ):
            shape = self.out.shapes.get(source)
            kind = self.out.dtypes.get(source)
            if target and kind is not None:
                self.out.dtypes[target] = kind
            if target and shape is not None and count is not None:
                self.out.shapes[target] = (count, *shape)

    def scan(self, node: Node) -> None:
        body = node.bodies["body"]
        count = int(node.attribute("num_scan_inputs", 0))
        axes = node.attribute("scan_input_axes", [0] * count)
        out_axes = node.attribute("scan_output_axes", [0] * len(node.outputs))
        states = len(node.inputs) - count
        length = None
        for source, target in zip(node.inputs[:states], body.inputs[:states], strict=False):
            self.copy(source, target)
        for source, target, axis in zip(
            node.inputs[states:], body.inputs[states:], axes, strict=False
        ):
            self.copy(source, target)
            shape = self.out.shapes.get(source)
            if shape is not None:
                length = shape[axis]
                self.out.shapes[target] = shape[:axis] + shape[axis % len(shape) + 1 :]
        self.walk(body)
        for source, target in zip(body.outputs[:states], node.outputs[:states], strict=False):
            self.copy(source, target)
        for number, (source, target) in enumerate(
            zip(body.outputs[states:], node.outputs[states:], strict=False)
        ):
            self.copy(source, target)
            shape = self.out.shapes.get(source)
            if shape is not None and length is not None and target:
                axis = int(out_axes[number]) % (len(shape) + 1)
                self.out.shapes[target] = (*shape[:axis], length, *shape[axis:])
