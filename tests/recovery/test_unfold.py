"""Rows of linear operators, against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from onnxprune.core.graph import build_graph
from onnxprune.recovery.unfold import convolution_of
from onnxprune.recovery.weights import Chain, MatrixView
from onnxprune.runtime.session import open_session
from onnxprune.runtime.session import run as run_session


def run(op: str, x: np.ndarray, w: np.ndarray, attributes: dict) -> tuple:
    node = helper.make_node(op, ["x", "w"], ["y"], **attributes)
    graph = helper.make_graph(
        [node], "g",
        [helper.make_tensor_value_info(n, 1, a.shape) for n, a in (("x", x), ("w", w))],
        [helper.make_tensor_value_info("y", 1, None)],
    )  # fmt: skip
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    session = open_session(model.SerializeToString(), optimize=False)
    return build_graph(model).nodes[0], run_session(session, {"x": x, "w": w})[0]


CASES = {
    "plain": ("Conv", (2, 3, 6, 7), (4, 3, 3, 3), {}),
    "padded": ("Conv", (2, 3, 6, 7), (4, 3, 3, 2), {"pads": [1, 0, 1, 1]}),
    "strided": ("Conv", (2, 3, 9, 8), (4, 3, 3, 3), {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
    "dilated": ("Conv", (1, 2, 9, 9), (3, 2, 3, 3), {"dilations": [2, 2], "pads": [2, 2, 2, 2]}),
    "same": ("Conv", (1, 2, 8, 8), (3, 2, 3, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    "lower": ("Conv", (1, 2, 7, 8), (3, 2, 2, 2), {"auto_pad": "SAME_LOWER"}),
    "grouped": ("Conv", (2, 4, 6, 6), (6, 2, 3, 3), {"group": 2}),
    "depthwise": ("Conv", (2, 4, 6, 6), (4, 1, 3, 3), {"group": 4, "pads": [1, 1, 1, 1]}),
    "one axis": ("Conv", (2, 3, 11), (4, 3, 5), {"pads": [2, 2], "strides": [3]}),
    "transposed": ("ConvTranspose", (2, 3, 5, 5), (3, 4, 2, 2), {"strides": [2, 2]}),
    "transposed, padded": (
        "ConvTranspose", (1, 3, 5, 4), (3, 2, 4, 3),
        {"strides": [2, 2], "pads": [1, 1, 1, 0], "output_padding": [1, 0]},
    ),
    "transposed, grouped": ("ConvTranspose", (1, 4, 5, 5), (4, 3, 3, 3), {"group": 2}),
}  # fmt: skip


@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize("case", CASES)
def test_rows_times_weight_is_the_operator(case, step):
    op, x_shape, w_shape, attributes = CASES[case]
    rng = np.random.default_rng(0)
    x, w = (rng.normal(size=s).astype(np.float32) for s in (x_shape, w_shape))
    node, y = run(op, x, w, attributes)
    rows = convolution_of(node, w_shape)
    assert rows is not None
    view = MatrixView(Chain(None, ()), op, rows.groups)
    weight = view.load(w)
    count = 0
    for left, right in rows.blocks(x, y, step):
        np.testing.assert_allclose(left @ weight, right, atol=1e-4)
        count += left.shape[1]
    if step == 1:
        assert count == rows.rows(x, y)
    np.testing.assert_allclose(view.store(weight, w), w, rtol=1e-6)


def test_a_chain_goes_forth_and_back():
    chain = Chain(None, (((2, 6), None, (3, 4)), ((3, 4), (1, 0), (4, 3))))
    array = np.arange(12.0).reshape(2, 6)
    seen = chain.forward(array)
    assert seen.shape == (4, 3)
    np.testing.assert_array_equal(chain.back(seen), array)
