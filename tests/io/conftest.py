"""Small models built in code, and files made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Put a model or bytes into a file."""

    def _save(content: onnx.ModelProto | bytes, name: str = "model.onnx") -> Path:
        path = tmp_path / name
        data = content if isinstance(content, bytes) else content.SerializeToString()
        path.write_bytes(data)
        return path

    return _save


@pytest.fixture
def two_convs() -> onnx.ModelProto:
    """Return x -> Conv -> Relu -> Conv -> y; the first weight has 1152 bytes, the second 2304."""
    rng = np.random.default_rng(0)
    w1 = numpy_helper.from_array(rng.normal(size=(32, 1, 3, 3)).astype(np.float32), "w1")
    w2 = numpy_helper.from_array(rng.normal(size=(2, 32, 3, 3)).astype(np.float32), "w2")
    b1 = numpy_helper.from_array(rng.normal(size=(32,)).astype(np.float32), "b1")
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w1", "b1"], ["h"], name="conv1", pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["h"], ["r"], name="relu"),
            helper.make_node("Conv", ["r", "w2"], ["y"], name="conv2"),
        ],
        "two_convs",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2, 6, 6])],
        [w1, b1, w2],
    )
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="test")


@pytest.fixture
def external_model(two_convs: onnx.ModelProto, tmp_path: Path) -> Path:
    """Return the two convolutions with both weights in weights.bin."""
    path = tmp_path / "model.onnx"
    onnx.save(two_convs, path, save_as_external_data=True, location="weights.bin")
    return path
