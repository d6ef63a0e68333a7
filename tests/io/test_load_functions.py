"""Functions of a model: closed, not recursive, and of bounded size when expanded."""

from __future__ import annotations

import time

import pytest
from onnx import AttributeProto, TensorProto, helper

from onnxprune.errors import InvalidModelError
from onnxprune.io import load_model

node = helper.make_node
OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("f", 1)]


def function(name, nodes, *, inputs=("p",), outputs=("q",), attributes=(), opsets=OPSETS):
    return helper.make_function("f", name, inputs, outputs, nodes, opsets, attributes)


def call(name, source="x", target="y", **attributes):
    return node(name, [source], [target], domain="f", **attributes)


def model(functions, nodes=None):
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xy"]
    graph = helper.make_graph(nodes or [call("F0")], "g", info[:1], info[1:])
    return helper.make_model(graph, opset_imports=OPSETS, ir_version=9, functions=functions)


def chain(length, calls, last):
    """Functions F0 ... of which each calls the next a number of times."""
    made = [
        function(
            f"F{index}",
            [
                call(f"F{index + 1}", f"v{i}" if i else "p", f"v{i + 1}" if i + 1 < calls else "q")
                for i in range(calls)
            ],
        )
        for index in range(length)
    ]
    return [*made, function(f"F{length}", last)]


NEG = node("Neg", ["p"], ["q"])
BRANCH = helper.make_graph(
    [call("F0", "p", "t")], "b", [], [helper.make_tensor_value_info("t", 1, [2])]
)

REFUSED = {
    "calls itself": ([function("F0", [call("F0", "p", "q")])], "calls itself"),
    "call each other": (
        [function("F0", [call("F1", "p", "q")]), function("F1", [call("F0", "p", "q")])],
        r"'f::F0' -> function 'f::F1' -> function 'f::F0'",
    ),
    "calls itself in a branch": (
        [
            function(
                "F0",
                [
                    node("Cast", ["p"], ["c"], to=TensorProto.BOOL),
                    node("If", ["c"], ["q"], then_branch=BRANCH, else_branch=BRANCH),
                ],
            )
        ],
        "calls itself",
    ),
    "2^30 calls": (chain(30, 2, [NEG]), "expands to"),
    "10^30 calls": (chain(30, 10, [NEG]), "expands to"),
    "chain of 1000": (chain(1000, 1, [NEG]), "1000 deep|1001 deep"),
    "twice": ([function("F0", [NEG]), function("F0", [NEG])], "twice"),
    "without a name": ([function("", [NEG])], "without a name"),
    "reads from outside": ([function("F0", [node("Neg", ["x"], ["q"])])], "reads 'x'"),
    "out of order": (
        [function("F0", [node("Neg", ["r"], ["q"]), node("Neg", ["p"], ["r"])])],
        "reads 'r'",
    ),
    "undefined output": ([function("F0", [NEG], outputs=("q", "r"))], "output 'r'"),
    "two inputs of a name": ([function("F0", [NEG], inputs=("p", "p"))], "already the name"),
    "writes twice": ([function("F0", [NEG, NEG])], "already defined"),
    "bad node": ([function("F0", [node("Add", ["p"], ["q"])])], "1 inputs, wanted 2"),
    "opset from the future": (
        [function("F0", [NEG], opsets=[helper.make_opsetid("", 999)])],
        "imports opset 999",
    ),
    "no opset": ([function("F0", [NEG], opsets=[])], "does not import"),
}


@pytest.mark.parametrize(("functions", "said"), REFUSED.values(), ids=REFUSED)
def test_refused(save, functions, said):
    path = save(model(functions))
    start = time.process_time()
    with pytest.raises(InvalidModelError, match=said) as caught:
        load_model(path)
    assert time.process_time() - start < 5
    assert len(str(caught.value)) < 2000


def test_call_with_too_many_inputs(save):
    nodes = [node("F0", ["x", "x"], ["y"], domain="f")]
    with pytest.raises(InvalidModelError, match="the function it calls has 1"):
        load_model(save(model([function("F0", [NEG])], nodes)))


SOFTMAX = node("Softmax", ["p"], ["q"])
SOFTMAX.attribute.append(AttributeProto(name="axis", type=AttributeProto.INT, ref_attr_name="axis"))

ACCEPTED = {
    "plain": [function("F0", [NEG])],
    "nested and shared": chain(10, 2, [NEG]),
    "attribute": [function("F0", [SOFTMAX], attributes=["axis"])],
    "unused input": [function("F0", [NEG], inputs=("p", "unused"))],
    "not called": [function("F0", [NEG]), function("F1", [NEG])],
    "two nodes of a name": [
        function("F0", [node("Neg", ["p"], ["r"], name="n"), node("Neg", ["r"], ["q"], name="n")])
    ],
}


@pytest.mark.parametrize("functions", ACCEPTED.values(), ids=ACCEPTED)
def test_accepted_and_unchanged(save, functions):
    proto = model(functions)
    assert load_model(save(proto)).proto == proto


def test_function_may_stand_for_a_standard_operator(save):
    own = helper.make_function("", "Relu", ["p", "s"], ["q"], [NEG], OPSETS)
    proto = model([own], [node("Relu", ["x", "x"], ["y"])])
    assert load_model(save(proto)).proto == proto
