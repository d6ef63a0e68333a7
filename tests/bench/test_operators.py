from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto, helper

from onnxprune.bench.document import OperatorEntry
from onnxprune.bench.operators import attribute, macs_share, match, total_by_op
from onnxprune.core.graph import build_graph
from onnxprune.providers.placement import Kernel


@pytest.fixture
def graph():
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "/a/Conv"),
        helper.make_node("BatchNormalization", ["c", "s", "s", "s", "s"], ["n"], "/a/Norm"),
        helper.make_node("Relu", ["n"], ["r"], "/a/Relu"),
        helper.make_node("MatMul", ["r", "v"], ["y"], "/b/MatMul"),
    ]
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [onnx.TensorProto(name=name, data_type=1, dims=[1], raw_data=b"\0\0\0\0")
         for name in ("w", "s", "v")],
    )  # fmt: skip
    return build_graph(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)]))


@pytest.mark.parametrize(
    ("kernel", "op", "node"),
    [
        ("/a/Conv", "Conv", "/a/Conv"),
        ("r_nchwc", "Conv", "/a/Conv"),
        ("fused /a/Conv", "FusedConv", "/a/Conv"),
        ("/b/MatMul/MatMulScaleFusion/", "FusedMatMul", "/b/MatMul"),
        ("/b/MatMul", "MatMul", "/b/MatMul"),
        ("ReorderOutput_token_7", "ReorderOutput", "(ReorderOutput)"),
        ("everything_in_one", "OpenVINO-EP", "(OpenVINO-EP)"),
    ],
)
def test_kernels_go_to_nodes(graph, kernel, op, node):
    [entry] = attribute([Kernel(kernel, op, "P", 2.0)], graph, {"/a/Conv": 7})
    assert entry.node == node
    assert entry.macs == (7 if node == "/a/Conv" else None)


def test_longest_first_and_kinds_together(graph):
    kernels = [
        Kernel("/a/Relu", "Relu", "P", 1.0),
        Kernel("ReorderInput_1", "ReorderInput", "P", 2.0),
        Kernel("ReorderInput_2", "ReorderInput", "P", 3.0),
    ]
    assert [(e.node, e.us) for e in attribute(kernels, graph, {})] == [
        ("(ReorderInput)", 5.0),
        ("/a/Relu", 1.0),
    ]


def _entry(node, us, op="Conv"):
    return OperatorEntry(node=node, op=op, provider="P", us=us)


def test_nodes_are_matched_by_name():
    before = [_entry("a", 10.0), _entry("b", 5.0), _entry("gone", 1.0)]
    after = [_entry("a", 2.0), _entry("b", 4.0), _entry("new", 3.0), _entry("b", 0.5, "Relu")]
    found = [(p.node, p.before_us, p.after_us) for p in match(before, after)]
    assert found == [
        ("a", 10.0, 2.0),
        ("new", None, 3.0),
        ("gone", 1.0, None),
        ("b", 5.0, 4.5),
    ]


@pytest.mark.parametrize(
    ("placed", "share"),
    [
        ({"P": ["conv"], "CPU": ["gemm", "relu"]}, 0.9),
        ({"P": ["conv/fused"], "CPU": ["gemm"]}, 0.9),
        ({"P": ["other"], "CPU": ["gemm"]}, None),
        ({"P": ["whatever"]}, 1.0),
        ({"CPU": ["conv", "gemm"]}, 0.0),
        (None, None),
    ],
)
def test_share_of_macs(placed, share):
    assert macs_share(placed, "P", {"conv": 90, "gemm": 10}) == share


def test_time_by_operator():
    def entry(node, op, us):
        return OperatorEntry(node=node, op=op, provider="P", us=us)

    before = [entry("a", "Conv", 10.0), entry("b", "Conv", 20.0), entry("c", "Relu", 5.0)]
    after = [entry("a", "Conv", 4.0), entry("(ReorderInput)", "ReorderInput", 2.0)]
    totals = [tuple(t.model_dump().values()) for t in total_by_op(before, after)]
    assert totals == [
        ("Conv", 30.0, 4.0, 2, 1), ("Relu", 5.0, 0.0, 1, 0), ("ReorderInput", 0.0, 2.0, 0, 1),
    ]  # fmt: skip
