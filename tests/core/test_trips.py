"""How often a Loop runs is computed where sizes decide it."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save

from onnxprune.analysis import analyze_model

_INT, _BOOL, _FLOAT = TensorProto.INT64, TensorProto.BOOL, TensorProto.FLOAT


def _constant(name, value):
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value))


def _info(name, kind, dims=()):
    return helper.make_tensor_value_info(name, kind, dims)


def _model(path, maximum, start, step, decided_by):
    """Count up from `start` while less than the number of rows, and stack a product of states."""
    body = helper.make_graph(
        [_constant("step", np.array(step)),
         helper.make_node("Add", ["c", "step"], ["c1"]),
         helper.make_node("Less", ["c1", "rows"], ["short"]),
         helper.make_node("MatMul", ["h", "r"], ["p"]),
         helper.make_node("Tanh", ["p"], ["h1"]),
         helper.make_node("ReduceMax", ["h1"], ["most"], keepdims=0),
         helper.make_node("Less", ["most", "most"], ["never"]),
         helper.make_node("Not", ["never"], ["always"]),
         helper.make_node("Identity", ["h1"], ["s"])],
        "body",
        [_info("i", _INT), _info("go", _BOOL), _info("c", _INT), _info("h", _FLOAT, [1, 6])],
        [_info(decided_by, _BOOL), _info("c1", _INT), _info("h1", _FLOAT, [1, 6]),
         _info("s", _FLOAT, [1, 6])],
    )  # fmt: skip
    first = [] if maximum is None else [_constant("m", np.array(maximum))]
    graph = helper.make_graph(
        [*first, _constant("c0", np.array(start)), _constant("zero", np.array(0)),
         helper.make_node("Shape", ["x"], ["sizes"]),
         helper.make_node("Gather", ["sizes", "zero"], ["rows"]),
         helper.make_node("Less", ["c0", "rows"], ["go0"]),
         helper.make_node("Loop", ["m" if first else "", "go0", "c0", "h0"], ["cn", "hn", "out"],
                          body=body),
         helper.make_node("MatMul", ["out", "w"], ["y"])],
        "g",
        [_info("x", _FLOAT, ["T", 3])],
        [_info("y", _FLOAT, None)],
        [numpy_helper.from_array(np.ones((1, 6), np.float32), "h0"),
         numpy_helper.from_array(np.eye(6, dtype=np.float32), "r"),
         numpy_helper.from_array(np.ones((6, 2), np.float32), "w")],
    )  # fmt: skip
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.parametrize(
    ("maximum", "start", "step", "decided_by", "trips"),
    [
        (None, 0, 1, "short", 20),
        (None, 0, 3, "short", 7),
        (None, 30, 1, "short", 0),
        (5, 0, 1, "short", 5),
        (2**62, 0, 1, "short", 20),
        (None, 0, 0, "short", None),  # never ends
        (None, 0, 1, "always", None),  # data decide
        (8, 0, 1, "always", 8),
        (2**62, 0, 1, "always", None),
    ],
)
def test_trips(tmp_path, maximum, start, step, decided_by, trips):
    path = _model(tmp_path / "m.onnx", maximum, start, step, decided_by)
    found = analyze_model(path, dims={"T": 20})
    shape = found.deps.settings[0].shape("out")
    assert shape == (None if trips is None else (trips, 1, 6))
