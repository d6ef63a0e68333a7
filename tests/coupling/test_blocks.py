"""Changes of the order of bytes: as many are predicted as ONNX Runtime makes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from onnxprune.analysis import analyze_model
from onnxprune.costs import DefaultCosts
from onnxprune.costs.table import CostTable
from onnxprune.planning.latency import LatencyModel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

FREE = dict.fromkeys(
    ("macs_per_us", "depthwise_macs_per_us", "bytes_per_us", "weights_per_us", "values_per_us",
     "depthwise_values_per_us", "copied_per_us"), 1e20
)  # fmt: skip
WIDTHS = (8, 10, 12, 16, 20, 24, 32, 34, 40, 48)


class Plain(DefaultCosts):
    """A runtime without blocks."""

    blocking = None  # type: ignore[assignment]


class Net:
    """A network of images, built node by node."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.width = {"x": 3}

    def conv(self, x: str, width: int, *, kernel: int = 1, groups: int = 1) -> str:
        name = f"w{len(self.weights)}"
        shape = (width, self.width[x] // groups, kernel, kernel)
        self.weights.append(numpy_helper.from_array(np.full(shape, 0.01, np.float32), name))
        pads = [kernel // 2] * 4
        return self.op("Conv", [x, name], shape[0], group=groups, pads=pads)

    def op(self, kind: str, inputs: Sequence[str], width: int, **attributes: object) -> str:
        output = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], f"n{output}", **attributes))
        self.width[output] = width
        return output

    def same(self, kind: str, x: str, **attributes: object) -> str:
        return self.op(kind, [x], self.width[x], **attributes)

    def constant(self, array: object) -> str:
        name = f"c{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(array, np.float32), name))
        return name

    def model(self, output: str) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes, "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)], self.weights,
        )  # fmt: skip
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        return onnx.shape_inference.infer_shapes(model)


def chain(widths: Sequence[int]) -> onnx.ModelProto:
    a, b, c = widths
    net = Net()
    x = net.same("Relu", net.conv("x", a, kernel=3))
    x = net.same("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = net.same("Relu", net.conv(x, b, kernel=3))
    x = net.same("Relu", net.conv(net.conv(x, b, groups=b, kernel=3), c))
    x = net.conv(x, c, groups=2, kernel=3)
    return net.model(net.same("GlobalAveragePool", net.conv(x, 16)))


def residual(widths: Sequence[int]) -> onnx.ModelProto:
    a, b, c = widths
    net = Net()
    x = net.same("Relu", net.conv("x", a, kernel=3))
    for inner in (b, c):
        branch = net.conv(net.same("Relu", net.conv(x, inner)), a)
        x = net.same("Relu", net.op("Add", [branch, x], a))
    return net.model(net.conv(x, 16))


def joined(widths: Sequence[int]) -> onnx.ModelProto:
    net = Net()
    x = net.same("Relu", net.conv("x", 16, kernel=3))
    parts = [net.same("Relu", net.conv(x, w)) for w in widths]
    x = net.op("Concat", parts, sum(widths), axis=1)
    return net.model(net.same("Relu", net.conv(x, 16)))


def beside(op: str) -> Callable[[Net, str], str]:
    """Return what puts an operator beside a convolution of the same image."""
    return lambda net, x: net.op(
        "Add", [net.same(op, x), net.same("Relu", net.conv(x, net.width[x]))], net.width[x]
    )


def clipped(net: Net, x: str) -> str:
    return net.op("Clip", [x, net.constant(0.0), net.constant(6.0)], net.width[x])


def normalised(net: Net, x: str) -> str:
    like = [net.constant(np.ones(net.width[x])) for _ in range(4)]
    y = net.op("BatchNormalization", [net.same("Relu", x), *like], net.width[x])
    return net.op("Add", [net.same("Relu", y), net.same("Relu", net.conv(x, net.width[x]))],
                  net.width[x])  # fmt: skip


def weighed(net: Net, x: str) -> str:
    inner = net.same("Relu", net.conv(net.same("GlobalAveragePool", x), 4))
    return net.op("Mul", [x, net.same("Sigmoid", net.conv(inner, net.width[x]))], net.width[x])


def shifted(net: Net, x: str) -> str:
    ones = net.constant(np.ones((1, net.width[x], 1, 1)))
    return net.op("Add", [net.same("Relu", x), ones], net.width[x])


def resized(net: Net, x: str) -> str:
    return net.op("Resize", [x, "", net.constant([1, 1, 2, 2])], net.width[x], mode="nearest",
                  coordinate_transformation_mode="asymmetric", nearest_mode="floor")  # fmt: skip


BETWEEN = {
    **{op: beside(op) for op in ("Relu", "Sigmoid", "HardSwish", "LeakyRelu", "Elu")},
    "HardSwish alone": lambda net, x: net.same("HardSwish", x),
    "LeakyRelu alone": lambda net, x: net.same("LeakyRelu", x),
    "Clip alone": clipped,
    "Clip": lambda net, x: net.op("Add", [clipped(net, x), net.same("Relu", x)], net.width[x]),
    "BatchNormalization": normalised, "squeeze-excitation": weighed, "Add of a constant": shifted,
    "Resize": resized,
}  # fmt: skip


def changes(model: onnx.ModelProto, folder: Path) -> int:
    """Return how often ONNX Runtime changes the order of bytes in a model."""
    options = ort.SessionOptions()
    path = folder / "optimised.onnx"
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 3
    ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return sum(n.op_type.startswith("Reorder") for n in onnx.load(path).graph.node)


def predicted(model: onnx.ModelProto, folder: Path) -> int:
    """Return how often the order of bytes changes by prediction."""
    path = folder / "model.onnx"
    onnx.save(model, path)
    deps = analyze_model(path).deps
    nothing = np.zeros(len(deps.roots), bool)
    in_blocks, plain = (
        LatencyModel(deps, kind(**FREE, call_us=1.0)).total(nothing)  # type: ignore[arg-type]
        for kind in (DefaultCosts, Plain)
    )
    return round(in_blocks - plain)


@pytest.fixture(scope="module")
def blocks_of_16(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("blocks")
    if [changes(joined((width, 16, 16)), folder) for width in (16, 8)] != [1, 5]:
        pytest.skip("this processor has other blocks")
    return folder


@pytest.mark.parametrize("build", [chain, residual, joined], ids=lambda f: f.__name__)
@settings(max_examples=20, deadline=None, derandomize=True,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(widths=st.tuples(*[st.sampled_from(WIDTHS)] * 3))
def test_as_many_changes_are_predicted_as_are_made(
    blocks_of_16: Path, build: object, widths: tuple[int, int, int]
) -> None:
    model = build(widths)  # type: ignore[operator]
    assert predicted(model, blocks_of_16) == changes(model, blocks_of_16)


@pytest.mark.parametrize("between", sorted(BETWEEN))
@pytest.mark.parametrize("width", [16, 20])
def test_operators_between_convolutions(blocks_of_16: Path, between: str, width: int) -> None:
    net = Net()
    x = net.conv("x", width, kernel=3)
    model = net.model(net.conv(BETWEEN[between](net, x), 16))
    assert predicted(model, blocks_of_16) == changes(model, blocks_of_16)


def test_who_keeps_no_blocks_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(residual((10, 10, 10)), path)
    deps = analyze_model(path).deps
    nothing = np.zeros(len(deps.roots), bool)
    times = [LatencyModel(deps, CostTable(blocked=b)).total(nothing) for b in (False, True)]
    assert times[0] < times[1]
