"""Small models built in code, and a command line that runs in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    weights: dict[str, np.ndarray],
    *,
    inputs: dict[str, Sequence[int | str]],
    outputs: dict[str, Sequence[int | str]],
) -> Path:
    """Write a model of float32 values."""

    def info(shapes: dict[str, Sequence[int | str]]) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()]

    graph = helper.make_graph(
        nodes, "g", info(inputs), info(outputs),
        [numpy_helper.from_array(a.astype(np.float32), n) for n, a in weights.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model.metadata_props.add(key="owner", value="somebody")
    model.metadata_props.add(key="onnxprune.version", value="0.0.0")
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def weight(*shape: int, seed: int = 0) -> np.ndarray:
    """Return random weights."""
    return np.random.default_rng([seed, *shape]).normal(0, 0.5, shape)


def conv_net(path: Path, *, width: int = 16, prefix: str = "") -> Path:
    """Write a network of two convolutions and a classifier; `[N 3 8 8]` in, `[N 4]` out."""
    p = prefix
    nodes = [
        helper.make_node("Conv", ["x", f"{p}w1", f"{p}b1"], [f"{p}c1"], f"{p}conv1", pads=[1] * 4),
        helper.make_node("Relu", [f"{p}c1"], [f"{p}r1"], f"{p}relu1"),
        helper.make_node("Conv", [f"{p}r1", f"{p}w2"], [f"{p}c2"], f"{p}conv2", pads=[1] * 4),
        helper.make_node("Relu", [f"{p}c2"], [f"{p}r2"], f"{p}relu2"),
        helper.make_node("GlobalAveragePool", [f"{p}r2"], [f"{p}g"], f"{p}pool"),
        helper.make_node("Flatten", [f"{p}g"], [f"{p}f"], f"{p}flat"),
        helper.make_node("Gemm", [f"{p}f", f"{p}w3", f"{p}b3"], ["y"], f"{p}fc"),
    ]
    weights = {
        f"{p}w1": weight(width, 3, 3, 3), f"{p}b1": weight(width),
        f"{p}w2": weight(width, width, 3, 3, seed=1),
        f"{p}w3": weight(width, 4), f"{p}b3": weight(4),
    }  # fmt: skip
    return save(path, nodes, weights, inputs={"x": ("N", 3, 8, 8)}, outputs={"y": ("N", 4)})


@pytest.fixture
def build() -> Callable[..., Path]:
    """Write a convolutional network; see `conv_net`."""
    return conv_net


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A network of which two groups of 16 can lose channels."""
    return conv_net(tmp_path / "model.onnx")


@pytest.fixture
def fixed(tmp_path: Path) -> Path:
    """A model without anything that could leave."""
    node = helper.make_node("MatMul", ["x", "w"], ["y"], "only")
    return save(
        tmp_path / "fixed.onnx", [node], {"w": weight(8, 4)},
        inputs={"x": ("N", 8)}, outputs={"y": ("N", 4)},
    )  # fmt: skip


@pytest.fixture
def normalised(tmp_path: Path) -> Path:
    """A model whose only group runs through a LayerNormalization."""
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["h"], "up"),
        helper.make_node("LayerNormalization", ["h", "s", "b"], ["n"], "norm", axis=-1),
        helper.make_node("MatMul", ["n", "w2"], ["y"], "down"),
    ]
    weights = {"w1": weight(8, 16), "s": weight(16) + 1, "b": weight(16), "w2": weight(16, 4)}
    return save(
        tmp_path / "normalised.onnx", nodes, weights,
        inputs={"x": ("N", 8)}, outputs={"y": ("N", 4)},
    )  # fmt: skip


@pytest.fixture
def external(tmp_path: Path) -> Path:
    """The network with its weights in a data file."""
    source = onnx.load(conv_net(tmp_path / "inline.onnx"))
    (tmp_path / "inline.onnx").unlink()
    path = tmp_path / "external.onnx"
    onnx.save(source, path, save_as_external_data=True, location="weights.bin", size_threshold=64)
    return path


@pytest.fixture
def files(tmp_path: Path) -> Callable[[], set[str]]:
    """List everything in the test's folder."""
    return lambda: {p.name for p in tmp_path.iterdir()}
