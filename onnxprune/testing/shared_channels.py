"""Small networks in which several layers read the same channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Callable

WIDTH, HIDDEN = 16, 8


class Net:
    """Grows a network of convolutions."""

    def __init__(self, opset: int = 17) -> None:
        self.rng = np.random.default_rng(0)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.opset = opset

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:  # noqa: ANN401 - ONNX decides
        """Add an operator and return its output."""
        output = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], output, **attributes))
        return output

    def weight(self, *shape: int) -> str:
        """Add a random weight and return its name."""
        name = f"w{len(self.weights)}"
        array = self.rng.normal(0, 0.4, shape).astype(np.float32)
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def constant(self, values: object, dtype: type = np.float32) -> str:
        """Add a weight of certain content and return its name."""
        name = f"c{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.array(values, dtype), name))
        return name

    def conv(self, x: str, inputs: int, outputs: int, kernel: int = 3, group: int = 1) -> str:
        """Add a convolution with a bias that keeps the size."""
        w = self.weight(outputs, inputs // group, kernel, kernel)
        pads = [kernel // 2] * 4
        return self.node("Conv", x, w, self.weight(outputs), pads=pads, group=group)

    def model(self, output: str, classes: int) -> onnx.ModelProto:
        """Return the network with one output [N classes]."""
        graph = helper.make_graph(
            self.nodes, "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 6, 6])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", classes])],
            self.weights,
        )  # fmt: skip
        return helper.make_model(
            graph, ir_version=8, opset_imports=[helper.make_opsetid("", self.opset)]
        )


def residual(blocks: int = 3, opset: int = 17) -> onnx.ModelProto:
    """Make a chain of residual blocks: every stream is read by a block and by the next sum."""
    net = Net(opset)
    x = net.node("Relu", net.conv("x", 3, WIDTH))
    for _ in range(blocks):
        inner = net.node("Relu", net.conv(x, WIDTH, HIDDEN))
        x = net.node("Relu", net.node("Add", net.conv(inner, HIDDEN, WIDTH), x))
    flat = net.node("Flatten", net.node("GlobalAveragePool", x))
    return net.model(net.node("MatMul", flat, net.weight(WIDTH, 5)), 5)


def dense(layers: int = 3) -> onnx.ModelProto:
    """Make a dense block: every layer reads the concatenation of all before, normalised."""
    net = Net()
    values = [net.conv("x", 3, WIDTH)]
    widths = [WIDTH]
    for _ in range(layers):
        joined = net.node("Concat", *values, axis=1) if len(values) > 1 else values[0]
        total = sum(widths)
        scale, bias, mean = net.weight(total), net.weight(total), net.weight(total)
        var = f"var{len(net.weights)}"
        net.weights.append(numpy_helper.from_array(np.ones(total, np.float32), var))
        normal = net.node("BatchNormalization", joined, scale, bias, mean, var)
        values.append(net.conv(net.node("Relu", normal), total, HIDDEN))
        widths.append(HIDDEN)
    joined = net.node("Concat", *values, axis=1)
    flat = net.node("Flatten", net.node("AveragePool", joined, kernel_shape=[3, 3], strides=[3, 3]))
    return net.model(net.node("Gemm", flat, net.weight(sum(widths) * 4, 5)), 5)


def inception() -> onnx.ModelProto:
    """Make branches that are joined and read by two layers, one behind an activation of parts."""
    net = Net()
    x = net.node("Relu", net.conv("x", 3, WIDTH))
    first = net.node("Relu", net.conv(x, WIDTH, 6, 1))
    second = net.conv(net.node("MaxPool", x, kernel_shape=[3, 3], pads=[1] * 4), WIDTH, 10, 1)
    joined = net.node("Concat", first, second, axis=1)
    swish = net.node("Mul", joined, net.node("Sigmoid", joined))
    left = net.conv(net.conv(swish, WIDTH, WIDTH, 3, group=WIDTH), WIDTH, HIDDEN, 1)
    right = net.conv(swish, WIDTH, HIDDEN)
    flat = net.node("Flatten", net.node("GlobalMaxPool", net.node("Add", left, right)))
    return net.model(net.node("MatMul", flat, net.weight(HIDDEN, 5)), 5)


def nested() -> onnx.ModelProto:
    """Make a value that forks, and forks again before any weight reads it."""
    net = Net()
    x = net.conv("x", 3, WIDTH)
    above, below = net.node("Relu", x), net.node("Relu", net.node("Neg", x))
    read = [net.conv(above, WIDTH, HIDDEN), net.conv(above, WIDTH, HIDDEN, 1)]
    total = net.node("Add", net.node("Add", *read), net.conv(below, WIDTH, HIDDEN))
    flat = net.node("Flatten", net.node("GlobalAveragePool", net.node("Relu", total)))
    return net.model(net.node("MatMul", flat, net.weight(HIDDEN, 5)), 5)


def grouped() -> onnx.ModelProto:
    """Make a concatenation that is read through a normalisation of groups, and by a layer."""
    net = Net()
    groups, total = 8, 2 * WIDTH
    x = net.conv("x", 3, WIDTH)
    joined = net.node("Concat", x, net.conv("x", 3, WIDTH), axis=1)
    view = net.node("Reshape", joined, net.constant([0, groups, -1], np.int64))
    ones, zeros = net.constant([1] * groups), net.constant([0] * groups)
    normal = net.node("InstanceNormalization", view, ones, zeros)
    normal = net.node("Reshape", normal, net.constant([0, total, 6, 6], np.int64))
    normal = net.node("Add", net.node("Mul", normal, net.weight(total, 1, 1)),
                      net.weight(total, 1, 1))  # fmt: skip
    read = [net.conv(normal, total, HIDDEN), net.conv(joined, total, HIDDEN, 1)]
    read.append(net.conv(x, WIDTH, HIDDEN))
    flat = net.node("Flatten", net.node("GlobalAveragePool", net.node("Sum", *read)))
    return net.model(net.node("MatMul", flat, net.weight(HIDDEN, 5)), 5)


NETS: dict[str, Callable[[], onnx.ModelProto]] = {
    "residual": residual,
    "residual_opset9": lambda: residual(opset=9),
    "dense": dense,
    "inception": inception,
}
