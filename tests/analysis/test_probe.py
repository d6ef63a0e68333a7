"""Sizes are found at which inputs fit each other, whatever an exporter called their dimensions."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save

from onnxprune.analysis import analyze_model

_FLOAT = TensorProto.FLOAT


def _joined(path, first, second, axis):
    """Two inputs that only fit along `axis`; the second may lack one."""
    weight = np.ones((8, 6), np.float32)
    nodes = [helper.make_node("MatMul", ["a", "w"], ["h"])]
    joined = "b"
    if len(second) < len(first):
        nodes.append(helper.make_node("Unsqueeze", ["b", "one"], ["c"]))
        joined = "c"
    nodes.append(helper.make_node("Concat", ["h", joined], ["y"], axis=axis))
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("a", _FLOAT, first),
         helper.make_tensor_value_info("b", _FLOAT, second)],
        [helper.make_tensor_value_info("y", _FLOAT, None)],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(np.array([1]), "one")],
    )  # fmt: skip
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.parametrize(
    ("first", "second", "axis", "given", "alike"),
    [
        (["N", 8], ["N", 4], 1, {}, []),
        (["unk__1", 8], ["unk__2", 4], 1, {}, [("unk__1", "unk__2")]),
        ([None, 8], [None, 4], 1, {}, [("a:0", "b:0")]),
        (["p", "q", 8], ["r", "s", 4], 2, {}, [("p", "r"), ("q", "s")]),
        (["p", "q", 8], ["r", 6], 1, {}, [("p", "r")]),
        (["p", 8], ["r", 4], 1, {"r": 7}, [("p", "r")]),
        (["q", "seq", 8], ["q", "mem", 6], 1, {}, []),
        (["N", "p", 8], [1, "p", 4], 2, {}, []),  # a batch that has to be one
    ],
)
def test_symbols_of_one_size_are_found(tmp_path, first, second, axis, given, alike):
    path = _joined(tmp_path / "m.onnx", first, second, axis)
    found = analyze_model(path, dims=given)
    assert not any(s.inconsistent for s in found.deps.settings)
    for dims in found.dims:
        assert all(dims[a] == dims[b] for a, b in alike)
        assert given.items() <= dims.items()
        apart = set(dims) - {b for _, b in alike}
        assert len({dims[s] for s in apart}) == len(apart)  # no more is shared than has to be
    assert given or found.dims[0] != found.dims[1]


@pytest.mark.parametrize("op", ["Conv", "AveragePool", "MaxPool"])
def test_signals_are_long_enough_for_windows(tmp_path, op):
    weights = [numpy_helper.from_array(np.ones((4, 1, 320), np.float32), "w")]
    given = ["c", "w"] if op == "Conv" else ["c"]
    graph = helper.make_graph(
        [helper.make_node("Unsqueeze", ["x", "one"], ["c"]),
         helper.make_node(op, given, ["y"], kernel_shape=[320], strides=[160])],
        "g",
        [helper.make_tensor_value_info("x", _FLOAT, ["batch_size", "N"])],
        [helper.make_tensor_value_info("y", _FLOAT, None)],
        [*weights, numpy_helper.from_array(np.array([1]), "one")],
    )  # fmt: skip
    save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
        tmp_path / "m.onnx",
    )
    found = analyze_model(tmp_path / "m.onnx")
    assert all(dims["N"] > 320 for dims in found.dims)
