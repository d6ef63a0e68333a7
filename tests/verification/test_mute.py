"""Outputs that are no numbers, or one over and over, hide every difference in front of them."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import load, numpy_helper, parser, save

from onnxprune.errors import VerificationError
from onnxprune.pipeline import prune, verify

NODES = {
    "never a number": "c = Constant<value_float = -1.0>() a = Abs(h) n = Mul(a, c) m = Sub(n, a) "
    "b = Sub(m, one) y = Sqrt(b)",
    "dead": "b = Sub(h, large) y = Relu(b)",
}


def write(path, nodes, large=1e6):
    model = parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : 17]>
        g (float[N,4] x) => (float[N,3] y)
        <float one = {{1}}, float large = {{{large}}}>
        {{ f = MatMul(x, v) r = Relu(f) h = MatMul(r, w) {nodes} }}"""
    )
    noise = np.random.default_rng(0)
    for name, shape in (("v", (4, 8)), ("w", (8, 3))):
        weight = noise.standard_normal(shape).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(weight, name))
    save(model, path)


@pytest.mark.parametrize("nodes", NODES.values(), ids=NODES)
def test_a_difference_in_front_of_a_mute_output_is_found(nodes, tmp_path):
    original, pruned, plan = (tmp_path / n for n in ("m.onnx", "p.onnx", "plan.json"))
    write(original, nodes)
    assert prune(original, pruned, ratio=0.5, plan_out=plan).verified.exact
    assert verify(original, pruned, plan=plan).exact
    broken = load(pruned)
    weight = next(t for t in broken.graph.initializer if t.name == "w")
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) * 2, "w"))
    save(broken, pruned)
    assert not verify(original, pruned, plan=plan).passed


def test_samples_choose_where_outputs_say_nothing(tmp_path):
    write(tmp_path / "m.onnx", NODES["never a number"])
    report = prune(
        tmp_path / "m.onnx",
        tmp_path / "p.onnx",
        remove_macs=0.3,
        calibration="synthetic",
        samples=8,
    )
    assert report.verified.exact
    assert report.achieved.macs >= 0.3


def test_nothing_is_written_where_nothing_can_be_compared(tmp_path):
    write(tmp_path / "m.onnx", "y = Relu(h)")
    model = load(tmp_path / "m.onnx")
    for node in model.graph.node:
        if node.op_type == "Relu" and node.input[0] == "f":
            node.op_type = "Sqrt"
            node.input[0] = "less"
    model.graph.node.insert(1, parser.parse_node("less = Sub(f, large)"))
    save(model, tmp_path / "m.onnx")
    with pytest.raises(VerificationError, match="no value that could be compared"):
        prune(tmp_path / "m.onnx", tmp_path / "p.onnx", ratio=0.5)
    assert not (tmp_path / "p.onnx").exists()
