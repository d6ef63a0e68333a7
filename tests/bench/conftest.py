"""Two small models with the same inputs, and a protocol that takes no time."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxprune.bench.protocol import Protocol


def _write(path, *, width=8, batch="batch", extra=None, name="x"):
    generator = np.random.default_rng(0)
    weights = {
        "w1": generator.standard_normal((4, width)).astype(np.float32),
        "w2": generator.standard_normal((width, 3)).astype(np.float32),
    }
    nodes = [
        helper.make_node("MatMul", [name, "w1"], ["h"], name="mm1"),
        helper.make_node("Relu", ["h"], ["r"], name="relu"),
        helper.make_node("MatMul", ["r", "w2"], ["y"], name="mm2"),
        *(extra or []),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 3])],
        [numpy_helper.from_array(array, key) for key, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


@pytest.fixture
def write_model(tmp_path):
    """Write x [batch, 4] -> MatMul -> Relu -> MatMul -> y [batch, 3]."""

    def write(file="model.onnx", **options):
        return _write(tmp_path / file, **options)

    return write


@pytest.fixture
def swift():
    return Protocol(
        rebuilds=3, most_rebuilds=3, pairs=2, block_ms=0.01, warm_up_ms=0.01, time_budget_s=60.0
    )
