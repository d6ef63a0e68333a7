"""Gradients that operators hand back are those of differences, operator by operator."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxprune.core.graph import build_graph
from onnxprune.recovery.adjoints import ADJOINTS, Local
from onnxprune.runtime.session import open_session, run

I64 = np.int64
IMAGE, ROWS = (2, 4, 6, 5), (2, 3, 4)


def case(op, *shapes, opset=17, constants=(), outputs=1, **attributes):
    name = f"{op}-{'x'.join('.'.join(map(str, s)) for s in shapes)}-{sorted(attributes)}-{opset}"
    return pytest.param(op, shapes, constants, attributes, opset, outputs, id=name)


CASES = [
    case("Add", IMAGE, (4, 1, 1)),
    case("Sub", (4, 1, 1), IMAGE),
    case("Mul", IMAGE, (2, 4, 1, 1)),
    case("Div", ROWS, (2, 3, 1)),
    case("Div", ROWS, ()),
    case("Mul", (), ROWS),
    case("Sigmoid", ()),
    case("Relu", ROWS),
    case("Sigmoid", ROWS),
    case("HardSwish", ROWS),
    case("LeakyRelu", ROWS, alpha=0.2),
    case("Gelu", ROWS, opset=20),
    case("Max", ROWS, ROWS),
    case("Clip", ROWS, constants=(np.float32(-0.4), np.float32(0.7))),
    case("Pow", ROWS, constants=(np.float32(2),)),
    case("Reshape", ROWS, constants=(np.array([2, -1], I64),)),
    case("Flatten", IMAGE, axis=2),
    case("Unsqueeze", ROWS, constants=(np.array([1], I64),)),
    case("Transpose", IMAGE, perm=[2, 0, 3, 1]),
    case("Transpose", ROWS),
    case("Concat", ROWS, (2, 1, 4), axis=1),
    case("Pad", ROWS, constants=(np.array([0, 1, 2, 0, 0, 1], I64),)),
    case("Slice", ROWS, constants=tuple(np.array([n], I64) for n in (3, 0, 2, -2))),
    case("Gather", ROWS, constants=(np.array([3, 0, 3], I64),), axis=2),
    case("Expand", (3, 1), constants=(np.array([2, 3, 4], I64),)),
    case("Tile", ROWS, constants=(np.array([1, 2, 1], I64),)),
    case("Split", ROWS, axis=2, outputs=2),
    case("ReduceMean", IMAGE, axes=[2, 3], keepdims=0),
    case("ReduceMean", ROWS, opset=18, constants=(np.array([-1], I64),)),
    case("ReduceSum", ROWS, keepdims=1, constants=(np.array([1], I64),)),
    case("GlobalAveragePool", IMAGE),
    case("MatMul", ROWS, (4, 5)),
    case("MatMul", (2, 3, 4, 5), (2, 3, 5, 2)),
    case("MatMul", (3, 4), (2, 4, 2)),
    case("Gemm", (3, 4), (5, 4), (5,), transB=1, alpha=0.5),
    case("Gemm", (4, 3), (4, 5), transA=1),
    case("Conv", IMAGE, (6, 4, 3, 3), pads=[1, 1, 1, 1]),
    case("Conv", IMAGE, (6, 4, 3, 2), strides=[2, 2], pads=[1, 0, 0, 1]),
    case("Conv", IMAGE, (8, 2, 2, 2), group=2, dilations=[2, 1]),
    case("Conv", IMAGE, (4, 1, 3, 3), group=4, strides=[2, 3], auto_pad="SAME_UPPER"),
    case("Conv", (2, 4, 7), (3, 4, 3), strides=[2], auto_pad="SAME_LOWER"),
    case("ConvTranspose", IMAGE, (4, 3, 3, 3), strides=[2, 2], pads=[1, 1, 1, 1]),
    case("ConvTranspose", IMAGE, (4, 2, 2, 2), strides=[2, 2], group=2),
    case("Softmax", ROWS, axis=-1),
    case("Softmax", IMAGE, axis=1),
    case("Softmax", ROWS, axis=2, opset=12),
    case("LayerNormalization", ROWS, (4,), (4,), axis=-1),
    case("LayerNormalization", ROWS, (3, 4), axis=1),
    case("BatchNormalization", IMAGE, (4,), (4,), (4,), (4,)),
]


def test_every_operator_is_tried():
    alike = {  # differenced, reshaped or averaged like another one that is tried
        "Celu", "Elu", "Erf", "Exp", "HardSigmoid", "Log", "Min", "Mish", "Neg", "PRelu",
        "Reciprocal", "Selu", "Softplus", "Softsign", "Sqrt", "Swish", "Tanh", "Where",
        "Dropout", "Identity", "Squeeze",
    }  # fmt: skip
    assert ADJOINTS.keys() == alike | {c.values[0] for c in CASES}


@pytest.mark.parametrize(("op", "shapes", "constants", "attributes", "opset", "outputs"), CASES)
def test_what_is_handed_back_is_what_differences_say(
    op, shapes, constants, attributes, opset, outputs
):
    rng = np.random.default_rng(0)
    data = {f"x{i}": np.asarray(rng.normal(size=s), np.float32) for i, s in enumerate(shapes)}
    if op == "BatchNormalization":
        data["x4"] = np.abs(data["x4"]) + 0.5
    if op == "Div":
        data["x1"] = np.asarray(np.abs(data["x1"]) + 0.5)
    fixed = {f"c{i}": np.asarray(c) for i, c in enumerate(constants)}
    made = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(op, [*data, *fixed], made, **attributes)
    graph = helper.make_graph(
        [node], "one",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, a.shape) for n, a in data.items()],
        [helper.make_empty_tensor_value_info(n) for n in made],
        [numpy_helper.from_array(a, n) for n, a in fixed.items()],
    )  # fmt: skip
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", opset)])

    def forward(arrays):
        kinds = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.int64): TensorProto.INT64}
        for info in model.graph.input:
            info.type.tensor_type.elem_type = kinds[arrays[info.name].dtype]
        return run(open_session(model.SerializeToString(), optimize=True), arrays)

    values = forward(data)
    ways = [np.asarray(rng.normal(size=v.shape), np.float32) for v in values]
    node_of_graph = build_graph(model).nodes[0]
    inputs = [*data.values(), *fixed.values()]

    def rerun(position, array):
        return forward({**data, f"x{position}": array})

    local = Local(node_of_graph, inputs, values, rerun, {})
    known = 0
    for position, (name, x) in enumerate(data.items()):
        back = ADJOINTS[op](local, list(ways), position)
        if back is None:
            continue
        known += 1
        assert back.shape == x.shape
        along = np.asarray(rng.normal(size=x.shape), np.float32)
        moved = [np.asarray(x + np.float32(e) * along) for e in (1e-2, -1e-2)]
        high, low = (forward({**data, name: m}) for m in moved)
        told = sum(float((w * (a - b)).sum()) for w, a, b in zip(ways, high, low, strict=True))
        size = np.linalg.norm(back) * np.linalg.norm(along)
        assert abs(told / 2e-2 - float((back * along).sum())) < 2e-2 * size + 1e-3
    assert known


def test_what_cannot_be_turned_around_hands_back_nothing():
    pad = helper.make_node("Pad", ["x", "p"], ["y"], mode="reflect")
    graph = helper.make_graph([pad], "one", [], [])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    node = build_graph(model).nodes[0]
    x = np.zeros((2, 3), np.float32)
    local = Local(node, [x, np.array([0, 1, 0, 1])], [None], lambda *_: [], {})
    assert ADJOINTS["Pad"](local, [np.zeros((2, 5), np.float32)], 0) is None
