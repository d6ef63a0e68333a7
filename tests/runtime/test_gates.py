"""One session with gates does what a rebuilt model with masks does."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from onnxprune.analysis import analyze_model
from onnxprune.io import write_model
from onnxprune.io.skeleton import MIN_PAYLOAD
from onnxprune.rewrite.mask import masked_model
from onnxprune.runtime.gates import GatedNetwork, LabelGates, distortion
from onnxprune.runtime.segment import Mask, Program
from onnxprune.runtime.session import open_session, run_outputs
from onnxprune.testing.groups import parse_model

GRAPHS = {
    "residual": """
        (float[N,3,6,6] x) => (float[N,4,6,6] y)
        <float[6,3,3,3] a, float[6,6,1,1] b, float[6,1,3,3] d, float[4,6,1,1] c>
        { p = Conv<pads=[1,1,1,1]>(x, a)  r = Relu(p)  q = Conv(r, b)  s = Add(r, q)
          t = Conv<pads=[1,1,1,1], group=6>(s, d)  y = Conv(t, c) }""",
    "two axes of one einsum": """
        (float[N,5] x) => (float[N,4] y) <float[5,6,3] a, float[6,3,4] b>
        { h = Einsum<equation="ni,ijk->njk">(x, a)  r = Relu(h)
          y = Einsum<equation="njk,jko->no">(r, b) }""",
    "attention": """
        (float[N,4,6] x) => (float[N,4,6] y)
        <float[6,8] wq, float[6,8] wk, float[6,8] wv, float[8,6] wo>
        { q = MatMul(x, wq)  k = MatMul(x, wk)  v = MatMul(x, wv)
          kt = Transpose<perm=[0,2,1]>(k)  s = MatMul(q, kt)  p = Softmax(s)
          m = MatMul(p, v)  y = MatMul(m, wo) }""",
}


def _prepared(text, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(parse_model(text, opset=17).SerializeToString())
    analysis = analyze_model(path)
    size = analysis.model.proto.graph.input[0].type.tensor_type.shape.dim[1:]
    rng = np.random.default_rng(0)
    feeds = [{"x": rng.normal(size=(2, *(d.dim_value for d in size))).astype(np.float32)}] * 2
    return analysis, Program(analysis.proto, analysis.model.array), feeds


@pytest.mark.parametrize("name", GRAPHS)
def test_gates_equal_the_masked_model(name, tmp_path):
    analysis, program, feeds = _prepared(GRAPHS[name], tmp_path)
    gates = LabelGates(program, analysis.deps, feeds)
    assert analysis.deps.groups
    for group in analysis.deps.groups:
        assert gates.covered[group.atoms].all()
        atoms = group.atoms[:: 2 if group.size > 1 else 1]
        proto = masked_model(analysis.proto, analysis.deps, analysis.deps.removed_labels(atoms))
        write_model(proto, tmp_path / "masked.onnx", source=analysis.model)
        session = open_session(tmp_path / "masked.onnx", optimize=False)
        outputs = [{k: v[0] for k, v in run_outputs(session, f).items()} for f in feeds]
        session = open_session(analysis.model.path, optimize=False)
        original = [{k: v[0] for k, v in run_outputs(session, f).items()} for f in feeds]
        expected = distortion(original, outputs)
        assert expected > 1e-6
        assert gates.distortion(atoms) == pytest.approx(expected, rel=1e-3)
    assert gates.distortion(np.zeros(0, np.int64)) == 0.0


def test_weights_in_constant_nodes_are_read(tmp_path):
    rng = np.random.default_rng(0)
    shapes = {"a": (24, 3, 3, 3), "b": (16, 24, 1, 1), "c": (300,)}
    weights = {n: rng.normal(size=s).astype(np.float32) for n, s in shapes.items()}
    assert all(w.nbytes > MIN_PAYLOAD for w in weights.values())  # they leave the skeleton
    nodes = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(weight))
        for name, weight in weights.items()
    ]
    nodes += [helper.make_node("Conv", ["x", "a"], ["h"]), helper.make_node("Relu", ["h"], ["r"])]
    nodes += [helper.make_node("Conv", ["r", "b"], ["y"])]
    kind = onnx.TensorProto.FLOAT
    outputs = {"y": (1, 16, 4, 4), "c": shapes["c"]}
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", kind, (1, 3, 6, 6))],
        [helper.make_tensor_value_info(n, kind, shape) for n, shape in outputs.items()],
    )  # fmt: skip
    opset = [helper.make_opsetid("", 17)]
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    analysis = analyze_model(path)
    feed = {"x": rng.normal(size=(1, 3, 6, 6)).astype(np.float32)}
    gates = LabelGates(Program(analysis.proto, analysis.model.array), analysis.deps, [feed])
    [group] = analysis.deps.groups
    assert gates.distortion(group.atoms[:1]) > 1e-6
    network = GatedNetwork(Program(analysis.proto, analysis.model.array), [], [feed])
    [found] = network.run({})
    expected = run_outputs(open_session(path, optimize=False), feed)
    for name, [array] in expected.items():
        np.testing.assert_allclose(found[name], array, atol=1e-4)


def test_a_scalar_turns_a_branch_off(tmp_path):
    _, program, feeds = _prepared(GRAPHS["residual"], tmp_path)
    add = next(i for i, s in enumerate(program.steps) if s.proto.op_type == "Add")
    network = GatedNetwork(program, [Mask(add, 1, np.ones((), np.float32))], feeds)
    assert network.distortion({}) == 0.0
    closed = network.run({(add, 1): np.zeros((), np.float32)})
    branchless = parse_model(GRAPHS["residual"], opset=17)
    weight = next(t for t in branchless.graph.initializer if t.name == "b")
    weight.CopyFrom(onnx.numpy_helper.from_array(np.zeros((6, 6, 1, 1), np.float32), "b"))
    session = open_session(branchless.SerializeToString(), optimize=False)
    for feed, outputs in zip(feeds, closed, strict=True):
        np.testing.assert_allclose(outputs["y"], run_outputs(session, feed)["y"][0], atol=1e-5)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([0.0, 2.0], [0.0, 2.0], 0.0),
        ([0.0, 2.0], [0.0, 1.0], 0.5),
        ([0.0, 2.0], [1.0, 1.0], 1.0),
        ([0.0, 2.0], [0.0, np.nan], 0.5),
        ([0.0, 2.0], [0.0], 1.0),
        ([0.0, 2.0, np.inf], [0.0, 1.0, np.inf], 0.5),
    ],
)
def test_distortion(before, after, expected):
    before, after = np.array(before), np.array(after)
    assert distortion([{"y": before}], [{"y": after}]) == pytest.approx(expected)


def test_distortion_of_whole_numbers_is_the_share_that_differs():
    before, after = np.array([1, 2, 3, 4]), np.array([1, 2, 0, 4])
    assert distortion([{"y": before}], [{"y": after}]) == 0.25
