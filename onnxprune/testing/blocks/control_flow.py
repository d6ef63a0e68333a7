"""Blocks with inner graphs: If, Loop, Scan, and functions that the model defines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper

from onnxprune.testing.blocks.builder import ANY, Builder, Tensor
from onnxprune.testing.blocks.layers import activate, add, linear, nonlinear, project, transpose
from onnxprune.testing.blocks.registry import block
from onnxprune.testing.blocks.shaping import At, shape_vector, size_of
from onnxprune.testing.blocks.weights import bias, weight

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DOMAIN = "onnxprune.testing"


def _info(b: Builder, x: Tensor) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(x.name, b.elem_type, list(x.shape))


def _condition(b: Builder, x: Tensor) -> str:
    """Make a boolean: a graph input, a constant, a comparison of sizes, or one of values."""
    form = b.pick(["input", "constant", "shape", "value"])
    if form == "input" and not b.depth:
        return b.graph_input("flag", TensorProto.BOOL, [])
    if form == "constant":
        return b.constant(np.asarray(b.chance(0.5)))
    if form == "value" and b.opset >= 13:
        size = b.op("ReduceMean", b.op("Abs", x), keepdims=0)
        return b.op("Greater", size, b.floats(-1.0 if b.chance(0.5) else 3e4))
    batch = b.op("Cast", size_of(b, x, 0), to=TensorProto.FLOAT)
    return b.op("Greater", batch, b.constant(np.asarray(2.5, dtype=np.float32)))


def _branch(b: Builder, name: str, build: Callable[[], Tensor]) -> tuple[onnx.GraphProto, Tensor]:
    """Collect what `build` appends as a graph with one output."""
    with b.scope() as scope:
        made = build()
        result = made.named(b.op("Identity", made))
        graph = helper.make_graph(
            scope.nodes, name, [], [_info(b, result)], initializer=scope.initializers
        )
    return graph, result


def _captured(b: Builder, x: Tensor) -> Tensor:
    """Return `x` fit for branches: ONNX Runtime crashes on ones that capture moved integers."""
    return nonlinear(b, x) if b.has("DequantizeLinear") else x


@block(*ANY, since=11)
def if_else(b: Builder, x: Tensor) -> Tensor:
    """Two branches with weights of their own, captured weights and captured values."""
    x = _captured(b, x)
    width = x.channels if b.chance(0.5) else b.width()
    shared = nonlinear(b, project(b, x, width))

    def first() -> Tensor:
        return activate(b, project(b, x, width))

    def second() -> Tensor:
        return project(b, nonlinear(b, project(b, shared, b.width())), width)

    def third() -> Tensor:
        return shared

    condition = _condition(b, x)
    yes, result = _branch(b, b.fresh("then"), b.pick([first, second]))
    no, _ = _branch(b, b.fresh("else"), b.pick([second, third]))
    return result.named(b.op("If", condition, then_branch=yes, else_branch=no))


@block(*ANY, since=11)
def if_nested(b: Builder, x: Tensor) -> Tensor:
    """An If inside a branch of another, both of which use values from outside."""
    x = _captured(b, x)
    width = b.width()
    outer = nonlinear(b, project(b, x, width))

    def inner() -> Tensor:
        condition = b.constant(np.asarray(b.chance(0.5)))
        yes, result = _branch(b, b.fresh("then"), lambda: project(b, outer, width))
        no, _ = _branch(b, b.fresh("else"), lambda: b.same("Neg", outer))
        return result.named(b.op("If", condition, then_branch=yes, else_branch=no))

    yes, result = _branch(b, b.fresh("then"), inner)
    no, _ = _branch(b, b.fresh("else"), lambda: project(b, x, width))
    return result.named(b.op("If", _condition(b, x), then_branch=yes, else_branch=no))


@block(*ANY, since=11)
def loop(b: Builder, x: Tensor) -> Tensor:
    """Apply the same captured weights a few times, carrying the value along."""
    inner = Tensor(b.fresh("carried"), x.shape, x.layout, x.rms)
    trip, going = b.fresh("trip"), b.fresh("going")
    with b.scope() as scope:
        step = nonlinear(b, project(b, inner, x.channels))
        carried = b.same("Identity", add(b, step, inner) if b.chance(0.4) else step)
        inputs = [
            helper.make_tensor_value_info(trip, TensorProto.INT64, []),
            helper.make_tensor_value_info(going, TensorProto.BOOL, []),
            _info(b, inner),
        ]
        again = helper.make_tensor_value_info(b.op("Identity", going), TensorProto.BOOL, [])
        graph = helper.make_graph(
            scope.nodes, b.fresh("body"), inputs, [again, _info(b, carried)], scope.initializers
        )
    count = b.ints(b.between(1, 3))
    start = b.constant(np.ones((), dtype=bool)) if b.chance(0.7) else ""
    return x.named(b.op("Loop", count, start, x, body=graph), rms=2 * x.rms)


@block("seq", since=11, floats="fd")
def scan(b: Builder, x: Tensor) -> Tensor:
    """A recurrent cell written as a Scan over the sequence, with captured weights."""
    hidden = b.between(3, 8)
    batch = x.shape[0]
    zeros = b.op("ConstantOfShape", shape_vector(b, x, [At(0), hidden]))
    start = Tensor(b.op("Cast", zeros, to=b.elem_type), (batch, hidden), "vec")
    state = Tensor(b.fresh("state"), (batch, hidden), "vec")
    item = Tensor(b.fresh("item"), (batch, x.channels), "vec")
    with b.scope() as scope:
        entered = b.op("MatMul", item, weight(b, (x.channels, hidden), fan_in=x.channels))
        kept = b.op("MatMul", state, weight(b, (hidden, hidden), fan_in=hidden))
        total = b.op("Add", b.op("Add", entered, kept), bias(b, hidden))
        after = state.named(b.op("Tanh", total))
        seen = b.same("Identity", after)
        graph = helper.make_graph(
            scope.nodes,
            b.fresh("body"),
            [_info(b, state), _info(b, item)],
            [_info(b, after), _info(b, seen)],
            scope.initializers,
        )
    if b.chance(0.5):
        axes = {"scan_input_axes": [1], "scan_output_axes": [1]}
        _, steps = b.node("Scan", start, x, outputs=2, body=graph, num_scan_inputs=1, **axes)
        return x.resized(steps, hidden)
    turned = transpose(b, x, [1, 0, 2])
    _, steps = b.node("Scan", start, turned, outputs=2, body=graph, num_scan_inputs=1)
    return transpose(b, turned.resized(steps, hidden), [1, 0, 2], "seq")


def _define(b: Builder, name: str, inputs: Sequence[str], build: Callable[[], str]) -> str:
    """Collect what `build` appends as a function of the model."""
    with b.scope(is_function=True) as scope:
        result = build()
        imports = [helper.make_opsetid("", b.opset), helper.make_opsetid(DOMAIN, 1)]
        b.functions.append(
            helper.make_function(DOMAIN, name, list(inputs), [result], scope.nodes, imports)
        )
    return name


@block("seq", "vec", "plane", since=11, floats="fd")
def local_function(b: Builder, x: Tensor) -> Tensor:
    """A function of the model called twice, its weights given by the caller."""
    conv = x.layout == "plane"
    name = b.fresh("Layer")
    arguments = [b.fresh(hint) for hint in ("x", "w", "b")]

    def body() -> str:
        if conv:
            return b.op("Relu", b.op("Conv", *arguments))
        return b.op("Relu", b.op("Add", b.op("MatMul", *arguments[:2]), arguments[2]))

    _define(b, name, arguments, body)
    for width in (b.width(), b.width()):
        shape = (width, x.channels, 1, 1) if conv else (x.channels, width)
        operands = [weight(b, shape, fan_in=x.channels), bias(b, width)]
        x = x.resized(b.op(name, x, *operands, domain=DOMAIN), width)
    return x


@block("seq", "vec", since=11, floats="f")
def nested_function(b: Builder, x: Tensor) -> Tensor:
    """A function with weights inside that calls another function, with an attribute passed on."""
    inner, outer = b.fresh("Inner"), b.fresh("Outer")
    source, value = b.fresh("x"), b.fresh("x")

    def leak() -> str:
        name = b.op("LeakyRelu", source)
        alpha = b.nodes[-1].attribute.add()
        alpha.name, alpha.ref_attr_name, alpha.type = "alpha", "slope", onnx.AttributeProto.FLOAT
        return name

    with b.scope(is_function=True) as scope:
        result = leak()
        imports = [helper.make_opsetid("", b.opset)]
        b.functions.append(
            helper.make_function(
                DOMAIN, inner, [source], [result], scope.nodes, imports, attributes=["slope"]
            )
        )
    width = b.width()

    def body() -> str:
        entry = Tensor(value, x.shape, x.layout, x.rms)
        hidden = linear(b, entry, width)
        return b.op(inner, hidden, domain=DOMAIN, slope=0.2)

    _define(b, outer, [value], body)
    return x.resized(b.op(outer, x, domain=DOMAIN), width)
