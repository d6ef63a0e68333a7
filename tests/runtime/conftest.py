"""Tiny models and a way to call test functions in a child process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from onnxprune.runtime.isolate import run_isolated


@pytest.fixture
def isolated(monkeypatch):
    """Run a function of `isolated_targets` in a child process."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))

    def call(name, *, timeout_s=30, memory_limit_bytes=None, cpu_limit_s=None, progress=None,
             task=None, **kwargs):  # fmt: skip
        return run_isolated(
            f"isolated_targets:{name}",
            kwargs,
            timeout_s=timeout_s,
            memory_limit_bytes=memory_limit_bytes,
            cpu_limit_s=cpu_limit_s,
            progress=progress,
            task=task,
        )

    return call


def _model(nodes, inputs, outputs, initializers=(), *, opset=17, ir_version=8):
    def value(name, kind=TensorProto.FLOAT, dims=None):
        if isinstance(kind, onnx.TypeProto):
            return helper.make_value_info(name, kind)
        return helper.make_tensor_value_info(name, kind, dims)

    graph = helper.make_graph(
        nodes,
        "g",
        [value(*item) for item in inputs],
        [value(*item) for item in outputs],
        [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in initializers],
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)


@pytest.fixture
def make_model():
    """Build a model from nodes, (name, type, dims) of its ends and (name, array) of its weights."""
    return _model


@pytest.fixture
def make_mlp():
    """Build x [N, 4] -> MatMul -> Relu -> MatMul -> y [N, 3]."""

    def build(*, scale=1.0):
        generator = np.random.default_rng(0)
        first = generator.standard_normal((4, 8)).astype(np.float32)
        second = generator.standard_normal((8, 3)).astype(np.float32) * np.float32(scale)
        return _model(
            [
                helper.make_node("MatMul", ["x", "w1"], ["h"], name="mm1"),
                helper.make_node("Relu", ["h"], ["r"], name="relu"),
                helper.make_node("MatMul", ["r", "w2"], ["y"], name="mm2"),
            ],
            [("x", TensorProto.FLOAT, ["N", 4])],
            [("y", TensorProto.FLOAT, ["N", 3])],
            [("w1", first), ("w2", second)],
        )

    return build
