"""Weights inside branches that all samples take are repaired like others."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxprune.allocation import Target
from onnxprune.analysis import analyze_model
from onnxprune.io import write_model
from onnxprune.planning.selection import Settings
from onnxprune.recovery.branches import inline_branches
from onnxprune.recovery.calibrated import Calibration, repaired_analysis
from onnxprune.rewrite import rewrite
from onnxprune.runtime.session import open_session, run
from onnxprune.verification import verify_cut


def branch(name: str, seed: int, *, nested: bool) -> onnx.GraphProto:
    """Two layers; inner names are those of the other branch. The second may be in a body again."""
    rng = np.random.default_rng(seed)
    weights = [
        numpy_helper.from_array((rng.normal(size=s) / 3).astype(np.float32), n)
        for n, s in (("a", (10, 16)), ("b", (16, 4)))
    ]
    constant = helper.make_node("Constant", [], ["b"], value=weights[1])
    first = [
        helper.make_node("MatMul", ["x", "a"], ["h"]), helper.make_node("Relu", ["h"], ["r"]),
    ]  # fmt: skip
    last = helper.make_node("MatMul", ["r", "b"], ["z"])
    info = [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", 4])]
    if not nested:
        return helper.make_graph([*first, constant, last], name, [], info, weights[:1])
    same = helper.make_node("MatMul", ["r", "b"], ["z"])
    inner = helper.make_node(
        "If", ["flag"], ["out"], name="inner",
        then_branch=helper.make_graph([last], "t", [], info),
        else_branch=helper.make_graph([same], "e", [], info),
    )  # fmt: skip
    outputs = [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["N", 4])]
    return helper.make_graph([*first, constant, inner], name, [], outputs, weights[:1])


@pytest.fixture(params=[False, True], ids=["plain", "nested"])
def network(tmp_path, request):
    choice = helper.make_node(
        "If", ["flag"], ["y"], name="choice",
        then_branch=branch("then", 0, nested=request.param),
        else_branch=branch("else", 1, nested=request.param),
    )  # fmt: skip
    graph = helper.make_graph(
        [choice], "net",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 10]),
            helper.make_tensor_value_info("flag", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])],
    )  # fmt: skip
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    onnx.checker.check_model(model)
    path = tmp_path / "net.onnx"
    onnx.save(model, path)
    return path


def feeds(count: int, flags: list[bool], seed: int = 0) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(9).normal(size=(4, 10)).astype(np.float32)
    rows = rng.normal(size=(count, 8, 4)).astype(np.float32) @ mixing
    return [{"x": x, "flag": np.array(flags[i % len(flags)])} for i, x in enumerate(rows)]


@pytest.mark.parametrize("flag", [True, False])
def test_the_branch_that_is_taken_replaces_the_if(network, flag):
    analysis = analyze_model(network)
    samples = feeds(4, [flag])
    proto, deps = inline_branches(analysis.proto, analysis.deps, analysis.model.array, samples)
    assert [n.op for n in deps.graph.nodes if n.op != "Identity"] == ["MatMul", "Relu", "MatMul"]
    flat = open_session(proto.SerializeToString(), optimize=False)
    original = open_session(network, optimize=False)
    for feed in samples:
        np.testing.assert_array_equal(run(flat, feed)[0], run(original, feed)[0])


def test_an_if_that_samples_disagree_on_stays(network):
    analysis = analyze_model(network)
    samples = feeds(4, [True, False])
    proto, deps = inline_branches(analysis.proto, analysis.deps, analysis.model.array, samples)
    assert proto is analysis.proto
    assert deps is analysis.deps


def test_repair_reaches_into_the_branch(network, tmp_path):
    analysis = analyze_model(network)
    test = feeds(8, [True], seed=1)
    original = open_session(network, optimize=False)
    errors = {}
    for recovery in ("none", "least-squares"):
        settings = Settings(Target("ratio", 0.5), criterion="obs")
        done = Calibration(analysis, settings, feeds(32, [True]), recovery).run()
        full = repaired_analysis(analysis, done)
        removed = full.removed_labels(done.plan)
        made = rewrite(full.proto, full.model.array, full.deps, removed, copies=full.copies)
        path = tmp_path / f"{recovery}.onnx"
        write_model(made.proto, path, source=full.model, arrays=made.arrays)
        assert verify_cut(full, removed, path).exact
        session = open_session(path, optimize=True)
        wrong = [np.square(run(session, f)[0] - run(original, f)[0]).mean() for f in test]
        errors[recovery] = float(np.mean(wrong))
    assert errors["least-squares"] < 0.5 * errors["none"]
