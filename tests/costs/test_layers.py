"""Layers and copies: what they are read from, what they are measured and said to take."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxprune.core.graph import build_graph
from onnxprune.core.shapes import concretize
from onnxprune.costs import Copy, DefaultCosts, Layer
from onnxprune.costs.layer import points
from onnxprune.costs.measure import measure_layers
from onnxprune.costs.network import layers_of
from onnxprune.costs.onelayer import make_model
from onnxprune.providers import parse_spec
from onnxprune.runtime.session import open_session

CONV = Layer("Conv", "float32", 1, (8, 8), 1, 16, 8, (3, 3), (("pads", (1, 1, 1, 1)),))
LAYERS = [
    CONV,
    CONV.at((16, 1, 1)),
    CONV.at((4, 4, 2)),
    Layer("Conv", "float32", 2, (9,), 1, 4, 6, (3,), (("auto_pad", "SAME_UPPER"),)),
    Layer("ConvTranspose", "float32", 1, (5, 5), 2, 4, 6, (2, 2), (("strides", (2, 2)),)),
    Layer("MatMul", "float32", 1, (7,), 1, 16, 8),
    Layer("MatMul", "float32", 1, (7,), 3, 16, 8, weight=False),
    Layer("Gemm", "float64", 1, (2,), 1, 16, 8),
]
COPIES = [
    Copy("Slice", "float32", 1, (4, 4), 16, 8),
    Copy("Gather", "float32", 2, (), 16, 5),
]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.key)
def test_a_model_of_one_layer_is_that_layer(layer: Layer) -> None:
    model = make_model(layer)
    graph = build_graph(model)
    tensors = {p.key: p.tensor for p in graph.parameters.values()}
    [shapes] = concretize(graph, lambda t: numpy_helper.to_array(tensors[t.name]), [{}])
    assert layers_of(graph, shapes) == {"measured": layer}


def test_everything_is_measured() -> None:
    items = [*LAYERS, *COPIES, Layer("Conv", "float16", 1, (4, 4), 1, 4, 4, (1, 1))]
    times = measure_layers(items, parse_spec("cpu"))
    assert len(times) == len(items)
    assert all(t is None or t >= 0 for t in times)
    assert None not in times[:-1]


def test_what_a_provider_does_not_take_has_no_time() -> None:
    impossible = Layer("Conv", "float32", 1, (2, 2), 1, 4, 4, (5, 5))
    assert measure_layers([impossible, CONV], parse_spec("cpu"))[0] is None


@pytest.mark.parametrize("copy", COPIES, ids=lambda copy: copy.key)
def test_a_copy_takes_channels(copy: Copy) -> None:
    session = open_session(make_model(copy).SerializeToString(), optimize=False)
    shape = (copy.batch, copy.total, *copy.size)
    [out] = session.run(None, {"x": np.ones(shape, copy.dtype)})
    assert out.shape == (copy.batch, copy.kept, *copy.size)


def test_a_copy_may_stand_between_convolutions() -> None:
    copy = replace(COPIES[0], between=True)
    nodes = [n.op_type for n in make_model(copy).graph.node]
    assert nodes == ["Conv", "Slice", "Conv", "GlobalAveragePool"]
    [time] = measure_layers([copy], parse_spec("cpu"))
    assert time is not None
    assert copy.key != COPIES[0].key


def test_the_attributes_of_a_convolution_are_told_apart() -> None:
    keys = {layer.key for layer in LAYERS}
    assert len(keys) == len(LAYERS)
    assert CONV.at((1, 8, 8)).kind == CONV.kind


@pytest.mark.parametrize(
    ("node", "shapes"),
    [
        (helper.make_node("Relu", ["x"], ["y"], "n"), {"x": (1, 4)}),
        (helper.make_node("MatMul", ["x", "w"], ["y"], "n"), {"x": (4,), "w": (4, 2)}),
        (helper.make_node("MatMul", ["x", "w"], ["y"], "n", domain="mine"), {"x": (1, 4)}),
    ],
)
def test_other_operators_are_no_layers(node: object, shapes: dict[str, tuple[int, ...]]) -> None:
    inputs = [helper.make_tensor_value_info(k, TensorProto.FLOAT, v) for k, v in shapes.items()]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = build_graph(helper.make_model(helper.make_graph([node], "g", inputs, [output])))
    [found] = concretize(graph, lambda _t: np.zeros(0), [{}])
    assert layers_of(graph, found) == {}


@pytest.mark.parametrize(("largest", "step"), [(1, 16), (16, 16), (24, 16), (80, 16), (1024, 8)])
def test_points_are_steps_and_the_whole(largest: int, step: int) -> None:
    found = points(largest, step)
    assert found[-1] == largest
    assert list(found) == sorted(set(found))
    assert all(p % step == 0 for p in found[:-1])


def test_estimates_rise_with_work() -> None:
    costs = DefaultCosts()
    assert costs.layer_us(CONV) < costs.layer_us(CONV.at((1, 16, 64)))
    slice_, gather = (
        costs.copying(Copy(op, "float32", 1, (56, 56), 64, 64)).us(64, 32)
        for op in ("Slice", "Gather")
    )
    assert slice_ <= gather


@pytest.mark.parametrize(
    ("layer", "even", "odd"),
    [
        (Layer("Conv", "float32", 1, (28, 28), 1, 64, 64, (3, 3)), (1, 64, 64), (1, 62, 64)),
        (Layer("Conv", "float32", 1, (28, 28), 64, 1, 1, (3, 3)), (64, 1, 1), (62, 1, 1)),
        (Layer("Conv", "float32", 1, (28, 28), 4, 16, 16, (3, 3)), (4, 16, 16), (4, 14, 16)),
    ],
)
def test_odd_widths_leave_the_fast_way(
    layer: Layer, even: tuple[int, int, int], odd: tuple[int, int, int]
) -> None:
    over = DefaultCosts().over(layer)
    assert over(odd) > over(even)
    assert over(even) < over((even[0], even[1], 2 * even[2]))
