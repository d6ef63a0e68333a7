"""Local functions stay functions wherever a cut does not change their bodies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from onnxprune import pipeline

if TYPE_CHECKING:
    from pathlib import Path

HEAD = '<ir_version: 9, opset_import: ["" : 17, "f": 1]>\n'
BLOCK = """
<opset_import: ["" : 17, "f": 1], domain: "f", doc_string: "a layer">
Layer <slope: float> (p, w, b) => (q) { m = MatMul(p, w) s = Add(m, b)
  q = LeakyRelu<alpha: float = @slope>(s) }
"""
MODELS = {
    "weights come from outside": (
        HEAD + """g (float[N,4] x) => (float[N,3] y) {
          h = f.Layer<slope = 0.1>(x, w1, b1)
          y = f.Layer<slope = 0.2>(h, w2, b2) }""" + BLOCK,
        {"w1": (4, 8), "b1": (8,), "w2": (8, 3), "b2": (3,)},
        ["Layer", "Layer"], ["Layer"],
    ),
    "one call has to change": (
        HEAD + """g (float[N,4] x) => (float[N,3] y) {
          h = MatMul(x, w1)
          r = f.Fold(h)
          s = f.Fold(x)
          o = MatMul(r, w2)
          k = ReduceSum<keepdims = 1>(s)
          y = Add(o, k) }
        <opset_import: ["" : 17], domain: "f">
        Fold (p) => (q) { c = Constant<value_ints = [0, 2, -1]>() q = Reshape(p, c) }
        """.replace("o = MatMul(r, w2)", "t = Constant<value_ints = [0, -1]>() u = Reshape(r, t) "
                    "o = MatMul(u, w2)"),
        {"w1": (4, 8), "w2": (8, 3)},
        None, None,
    ),
    "nested": (
        HEAD + """g (float[N,4] x) => (float[N,3] y) { y = f.Net(x, w1, b1, w2, b2) }
        <opset_import: ["" : 17, "f": 1], domain: "f">
        Net (p, w1, b1, w2, b2) => (q) {
          h = f.Layer<slope = 0.1>(p, w1, b1)
          q = f.Layer<slope = 0.2>(h, w2, b2) }""" + BLOCK,
        {"w1": (4, 8), "b1": (8,), "w2": (8, 3), "b2": (3,)},
        ["Net"], ["Net", "Layer"],
    ),
    "nested in one that changes": (
        HEAD + """g (float[N,4] x) => (float[N,3] y) { y = f.Net(x, w1, b1, w2, b2) }
        <opset_import: ["" : 17, "f": 1], domain: "f">
        Net (p, w1, b1, w2, b2) => (q) {
          h = f.Layer<slope = 0.1>(p, w1, b1)
          c = Constant<value_ints = [-1, 8]>()
          r = Reshape(h, c)
          q = f.Layer<slope = 0.2>(r, w2, b2) }""" + BLOCK,
        {"w1": (4, 8), "b1": (8,), "w2": (8, 3), "b2": (3,)},
        ["Layer", "Constant", "Reshape", "Layer"], ["Layer"],
    ),
    "optional inputs and outputs": (
        HEAD + """g (float[N,4] x) => (float[N,3] y) {
          h, unread = f.Two(x, w1)
          y, other = f.Two(h, w2, b2)
        }
        <opset_import: ["" : 17, "f": 1], domain: "f">
        Two (p, w, b) => (q, r) { q = MatMul(p, w) r = Neg(q) }""",
        {"w1": (4, 8), "w2": (8, 3), "b2": (3,)},
        ["Two", "Two"], ["Two"],
    ),
    "in a branch": (
        HEAD + """g (float[N,4] x, bool c) => (float[N,3] y) {
          y = If(c) <then_branch = t () => (float[N,3] a) {
                       h = f.Layer<slope = 0.1>(x, w1, b1)
                       a = f.Layer<slope = 0.2>(h, w2, b2) },
                     else_branch = e () => (float[N,3] b) { b = MatMul(x, w3) }> }""" + BLOCK,
        {"w1": (4, 8), "b1": (8,), "w2": (8, 3), "b2": (3,), "w3": (4, 3)},
        ["If"], ["Layer"],
    ),
    "one of another opset": (
        HEAD + """g (float[N,4] x) => (float[N,3] y) {
          h = f.Layer<slope = 0.1>(x, w1, b1)
          i = f.Layer<slope = 0.2>(h, w2, b2)
          y = f.Old(i) }
        <opset_import: ["" : 13], domain: "f">
        Old (p) => (q) { q = Relu(p) }""" + BLOCK,
        {"w1": (4, 8), "b1": (8,), "w2": (8, 3), "b2": (3,)},
        ["Layer", "Layer", "Old"], ["Old", "Layer"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_functions(name: str, tmp_path: Path) -> None:
    text, weights, calls, functions = MODELS[name]
    model = parser.parse_model(text)
    generator = np.random.default_rng(0)
    for key, shape in weights.items():
        array = generator.normal(0, 1, shape).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(array, key))
    source, out = tmp_path / "model.onnx", tmp_path / "out.onnx"
    onnx.save(model, source)

    report = pipeline.prune(source, out, ratio=0.5)

    assert report.verified.exact
    assert report.achieved.params > 0.2
    pruned = onnx.load(out)
    print(onnx.printer.to_text(pruned))
    if calls is not None:
        assert [n.op_type for n in pruned.graph.node] == calls
        assert [f.name for f in pruned.functions] == functions
    assert pipeline.verify(source, out).passed
    for function in pruned.functions:
        assert function in model.functions
