"""What follows an operator decides what its errors count for."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxprune.analysis import analyze_model
from onnxprune.recovery.moments import gather
from onnxprune.recovery.path import find_path
from onnxprune.recovery.sites import find_sites
from onnxprune.runtime.segment import Program
from onnxprune.runtime.stream import TwinStream

FUSED = [helper.make_node("LayerNormalization", ["s", "gamma"], ["y"], axis=-1)]
DECOMPOSED = [
    helper.make_node("ReduceMean", ["s"], ["mean"], axes=[-1]),
    helper.make_node("Sub", ["s", "mean"], ["c"]),
    helper.make_node("Mul", ["c", "c"], ["cc"]),
    helper.make_node("ReduceMean", ["cc"], ["var"], axes=[-1]),
    helper.make_node("Sqrt", ["var"], ["std"]),
    helper.make_node("Div", ["c", "std"], ["y"]),
]
OVER_ROWS = [helper.make_node("ReduceMean", ["s"], ["y"], axes=[1])]


def save(tmp_path, tail) -> str:
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("MatMul", ["x", "up"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "down"], ["d"]),
        helper.make_node("Add", ["d", "x"], ["s"]),
        *tail,
    ]
    graph = helper.make_graph(
        nodes, "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 5, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(rng.normal(size=s).astype(np.float32), n)
            for n, s in (("up", (8, 12)), ("down", (12, 8)), ("gamma", (8,)))
        ],
    )  # fmt: skip
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    path = tmp_path / "net.onnx"
    onnx.save(model, path)
    return path


def at_the_branch(path):
    """Return stream, site and path of the operator in front of the sum."""
    analysis = analyze_model(path)
    deps = analysis.deps
    rows = np.random.default_rng(1).normal(size=(2, 3, 5, 8)).astype(np.float32)
    rows[:, :, 0] *= 50  # a token that outweighs all others
    stream = TwinStream(Program(analysis.proto, analysis.model.array), [{"x": x} for x in rows])
    site = find_sites(deps).sites[-1]
    readers = {}
    for node in deps.graph.nodes:
        for key in node.inputs:
            readers.setdefault(key, []).append(node)

    def read(key):
        return analysis.model.array(deps.ctx.parameters[key].tensor)

    stream.move(site.number)
    return stream, site, find_path(deps, site, readers, read)


@pytest.mark.parametrize(
    ("tail", "wanted"), [(FUSED, True), (DECOMPOSED, True), (OVER_ROWS, False)]
)
def test_a_layer_normalisation_is_seen_in_one_node_or_many(tmp_path, tail, wanted):
    _, _, path = at_the_branch(save(tmp_path, tail))
    assert path.normalised is wanted
    assert path.partner == "x"


def test_rows_count_by_the_deviation_of_the_sum(tmp_path):
    stream, site, path = at_the_branch(save(tmp_path, FUSED))
    ys = [stream.original(site.y, b) for b in range(2)]
    factors = [path.importance(stream, b, ys[b]) for b in range(2)]
    for batch, factor in enumerate(factors):
        total = ys[batch] + stream.original("x", batch)
        np.testing.assert_allclose(factor, 1 / (total.var(axis=-1) + 1e-6).reshape(-1), rtol=1e-4)

    def values(batch):
        return stream.original(site.x, batch), ys[batch]

    [found] = gather(site, 2, values, (0, 0), lambda b: factors[b])
    weights = np.concatenate(factors) / np.concatenate(factors).mean()
    x, y = (np.concatenate([values(b)[i].reshape(-1, n) for b in range(2)]).astype(float)
            for i, n in ((0, 12), (1, 8)))  # fmt: skip
    x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    np.testing.assert_allclose(found.gram[0], x.T @ (weights[:, None] * x), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(found.cross[0], x.T @ (weights[:, None] * y), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(found.energy[0], (weights[:, None] * y**2).sum(axis=0), rtol=1e-4)
