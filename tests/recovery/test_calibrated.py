"""Choosing and repairing with samples, end to end on small networks."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxprune.allocation import Target
from onnxprune.analysis import analyze_model
from onnxprune.io import write_model
from onnxprune.planning.selection import Settings
from onnxprune.recovery import effort
from onnxprune.recovery.calibrated import Calibration, calibrate, repaired_analysis
from onnxprune.recovery.path import Path
from onnxprune.recovery.sites import find_sites
from onnxprune.rewrite import rewrite
from onnxprune.runtime import stream as stream_module
from onnxprune.runtime.segment import Program
from onnxprune.runtime.session import open_session, run
from onnxprune.runtime.stream import TwinStream
from onnxprune.verification import verify_cut


@pytest.fixture
def network(tmp_path):
    """A residual network: convolutions with and without bias, depthwise, MatMul with Add, Gemm."""
    rng = np.random.default_rng(0)
    weights = {
        "w1": (12, 3, 3, 3), "b1": (12,), "w2": (16, 12, 3, 3), "w3": (16, 1, 3, 3),
        "w4": (12, 16, 1, 1), "m": (12, 20), "mb": (20,), "g": (5, 20), "gb": (5,),
    }  # fmt: skip
    arrays = {
        k: (rng.normal(size=s) / np.sqrt(max(1, np.prod(s[1:])))).astype(np.float32)
        for k, s in weights.items()
    }
    pad = {"pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["a"], **pad),
        helper.make_node("Relu", ["a"], ["ar"]),
        helper.make_node("Conv", ["ar", "w2"], ["b"], **pad),
        helper.make_node("Relu", ["b"], ["br"]),
        helper.make_node("Conv", ["br", "w3"], ["c"], group=16, **pad),
        helper.make_node("Clip", ["c", "zero", "six"], ["cr"]),
        helper.make_node("Conv", ["cr", "w4"], ["d"]),
        helper.make_node("Add", ["ar", "d"], ["s"]),
        helper.make_node("GlobalAveragePool", ["s"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "m"], ["h"]),
        helper.make_node("Add", ["h", "mb"], ["hb"]),
        helper.make_node("Relu", ["hb"], ["hr"]),
        helper.make_node("Gemm", ["hr", "g", "gb"], ["y"], transB=1),
    ]
    arrays |= {"zero": np.float32(0), "six": np.float32(6)}
    graph = helper.make_graph(
        nodes, "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 5])],
        [numpy_helper.from_array(np.asarray(a), k) for k, a in arrays.items()],
    )  # fmt: skip
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    onnx.checker.check_model(model)
    path = tmp_path / "net.onnx"
    onnx.save(model, path)
    return path


def samples(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(9).normal(size=(6, 192)).astype(np.float32)
    return (rng.normal(size=(count, 6)).astype(np.float32) @ mixing).reshape(count, 3, 8, 8)


def outputs(path, x: np.ndarray) -> np.ndarray:
    return run(open_session(path, optimize=True), {"x": x})[0]


def cut(analysis, calibrated, path):
    full = repaired_analysis(analysis, calibrated)
    removed = full.removed_labels(calibrated.plan)
    made = rewrite(full.proto, full.model.array, full.deps, removed, copies=full.copies)
    write_model(made.proto, path, source=full.model, arrays=made.arrays)
    return full, removed


def test_every_weight_is_found(network):
    found = find_sites(analyze_model(network).deps)
    assert [s.node.op for s in found.sites] == ["Conv", "Conv", "Conv", "Conv", "MatMul", "Gemm"]
    assert not found.masked
    assert [s.bias.parameter for s in found.sites] == ["b1", "", "", "", "mb", "gb"]


@pytest.mark.parametrize("budget", [1 << 30, 1])
def test_both_streams_follow_their_weights(network, budget, monkeypatch):
    monkeypatch.setattr(stream_module, "_SPILL_FROM", 1)
    analysis = analyze_model(network)
    program = Program(analysis.proto, analysis.model.array)
    x = samples(8)
    stream = TwinStream(program, [{"x": x[:4]}, {"x": x[4:]}], budget=budget)
    stream.move(2)
    assert not stream.differs("ar")
    stream.weights["w2"] = np.zeros((16, 12, 3, 3), np.float32)
    stream.biases[2] = np.ones(16, np.float32)
    stream.move(6)
    assert stream.differs("cr")
    assert not stream.differs("ar")
    stream.finish()
    np.testing.assert_allclose(stream.original("y", 1), outputs(network, x[4:]), atol=1e-5)
    changed = onnx.load(network)
    for tensor in changed.graph.initializer:
        if tensor.name == "w2":
            tensor.CopyFrom(numpy_helper.from_array(np.zeros((16, 12, 3, 3), np.float32), "w2"))
    changed.graph.node[2].input.append("extra")
    changed.graph.initializer.append(numpy_helper.from_array(np.ones(16, np.float32), "extra"))
    onnx.save(changed, network)
    np.testing.assert_allclose(stream.changed("y", 1), outputs(network, x[4:]), atol=1e-5)


@pytest.mark.parametrize("metric", ["ratio", "macs", "params"])
def test_repair_is_exact_and_better_than_none(network, tmp_path, metric):
    analysis = analyze_model(network)
    settings = Settings(Target(metric, 0.4), criterion="obs")
    feeds = [{"x": samples(64)}]
    test = samples(64, seed=1)
    wanted = outputs(network, test)
    errors = {}
    for recovery in ("none", "bias", "moments", "least-squares"):
        done = Calibration(analysis, settings, feeds, recovery).run()
        path = tmp_path / f"{recovery}.onnx"
        full, removed = cut(analysis, done, path)
        assert verify_cut(full, removed, path).exact
        errors[recovery] = float(np.square(outputs(path, test) - wanted).mean())
        if metric != "ratio":
            assert done.plan.predicted[metric] <= 0.6
    assert errors["least-squares"] < 0.5 * errors["none"]
    assert errors["least-squares"] <= errors["bias"]


@pytest.mark.parametrize(("op", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
def test_what_goes_into_a_recurrent_operator_is_repaired(op, gates, tmp_path):
    """Correlated features of a product, of which half leave in front of two directions."""
    rng = np.random.default_rng(0)
    hidden, units = 5, 24
    mixing = rng.normal(size=(6, units))
    arrays = {
        "w": (rng.normal(size=(4, 6)) @ mixing / 4).astype(np.float32),
        "W": rng.normal(size=(2, gates * hidden, units), scale=0.3).astype(np.float32),
        "R": rng.normal(size=(2, gates * hidden, hidden), scale=0.3).astype(np.float32),
        "B": rng.normal(size=(2, 2 * gates * hidden), scale=0.1).astype(np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("Softplus", ["m"], ["s"]),
        helper.make_node(
            op, ["s", "W", "R", "B"], ["", "h"], hidden_size=hidden, direction="bidirectional"
        ),
    ]
    graph = helper.make_graph(
        nodes, "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [7, "N", 4])],
        [helper.make_tensor_value_info("h", TensorProto.FLOAT, [2, "N", hidden])],
        [numpy_helper.from_array(a, k) for k, a in arrays.items()],
    )  # fmt: skip
    path = tmp_path / "net.onnx"
    onnx.save(
        helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), path
    )
    analysis = analyze_model(path)
    [site] = [s for s in find_sites(analysis.deps).sites if s.node.op == op]
    np.testing.assert_array_equal(
        site.weight.store(site.weight.load(arrays["W"]), arrays["W"]), arrays["W"]
    )
    feeds = [{"x": rng.normal(size=(7, 1, 4)).astype(np.float32)} for _ in range(32)]
    test = rng.normal(size=(7, 16, 4)).astype(np.float32)
    wanted = outputs(path, test)
    settings = Settings(Target("ratio", 0.5), criterion="obs")
    errors = {}
    for recovery in ("none", "bias", "least-squares"):
        done = Calibration(analysis, settings, feeds, recovery).run()
        made = tmp_path / f"{recovery}.onnx"
        full, removed = cut(analysis, done, made)
        assert verify_cut(full, removed, made).exact
        errors[recovery] = float(np.square(outputs(made, test) - wanted).mean())
    assert errors["least-squares"] < errors["bias"] < errors["none"]
    assert errors["least-squares"] < 0.2 * errors["none"]


def test_no_operator_is_worse_off_on_held_back_samples(network):
    settings = Settings(Target("ratio", 0.4), criterion="obs")
    done = Calibration(
        analyze_model(network), settings, [{"x": samples(24)}], "least-squares"
    ).run()
    assert {r.node for r in done.repairs}
    assert all(r.error <= r.before for r in done.repairs)


def test_quantised_weights_are_refused_with_the_reason(tmp_path):
    weight = np.random.default_rng(0).integers(-9, 9, (8, 12)).astype(np.int8)
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "scale"], ["w"]),
        helper.make_node("MatMul", ["x", "w"], ["h"], name="layer"),
        helper.make_node("Relu", ["h"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 12])],
        [numpy_helper.from_array(weight, "q"), numpy_helper.from_array(np.float32(0.1), "scale")],
    )  # fmt: skip
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    onnx.save(model, tmp_path / "q.onnx")
    found = find_sites(analyze_model(tmp_path / "q.onnx").deps)
    assert found.refused == {"layer": "its weight is behind DequantizeLinear"}


def test_the_same_samples_give_the_same_weights_in_a_child(network):
    analysis = analyze_model(network)
    settings = Settings(Target("macs", 0.3), criterion="obs")
    first, second = (calibrate(analysis, settings, [{"x": samples(32)}]) for _ in range(2))
    assert first.plan.to_json() == second.plan.to_json()
    assert first.weights.keys() == second.weights.keys()
    for name, array in first.weights.items():
        np.testing.assert_array_equal(array, second.weights[name])


@pytest.mark.parametrize("criterion", ["wanda", "flap", "apoz", "perturbation", "fpgm", "random"])
def test_other_criteria_choose_and_are_repaired(network, tmp_path, criterion):
    analysis = analyze_model(network)
    settings = Settings(Target("ratio", 0.3), criterion=criterion)
    done = Calibration(analysis, settings, [{"x": samples(16)}], "least-squares").run()
    full, removed = cut(analysis, done, tmp_path / "cut.onnx")
    assert verify_cut(full, removed, tmp_path / "cut.onnx").exact
    assert done.plan.groups[0].score["criterion"] == criterion


def residual(tmp_path) -> str:
    """A stream that a hidden layer makes, and a branch that knows some of what the stream loses."""
    rng = np.random.default_rng(3)
    shapes = {"a": (16, 24), "b": (24, 16), "more": (16, 8), "down": (32, 16)}
    arrays = {k: rng.normal(size=n) / n[0] ** 0.5 for k, n in shapes.items()}
    arrays["up"] = np.concatenate([arrays["a"], arrays.pop("more")], axis=1)
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["h"]),
        helper.make_node("Relu", ["h"], ["hr"]),
        helper.make_node("MatMul", ["hr", "b"], ["s"]),
        helper.make_node("MatMul", ["x", "up"], ["u"]),
        helper.make_node("Relu", ["u"], ["ur"]),
        helper.make_node("MatMul", ["ur", "down"], ["d"]),
        helper.make_node("Add", ["s", "d"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 16])],
        [numpy_helper.from_array(a.astype(np.float32), k) for k, a in arrays.items()],
    )  # fmt: skip
    path = tmp_path / "residual.onnx"
    onnx.save(
        helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), path
    )
    return path


def test_a_branch_makes_up_for_errors_of_the_stream_it_is_added_to(tmp_path, monkeypatch):
    analysis = analyze_model(residual(tmp_path))
    settings = Settings(Target("ratio", 0.4), criterion="obs")
    fit, test = np.random.default_rng(0).normal(size=(2, 512, 16)).astype(np.float32)
    wanted = outputs(analysis.model.path, test)
    monkeypatch.setattr(effort, "_MOST", 0)  # joint steps make up for it as well
    errors = []
    for number in range(2):
        done = Calibration(analysis, settings, [{"x": fit}], "least-squares").run()
        path = tmp_path / f"{number}.onnx"
        cut(analysis, done, path)
        errors.append(np.square(outputs(path, test) - wanted).mean())
        monkeypatch.setattr(Path, "target", lambda *arguments: arguments[-1])
    assert errors[0] < 0.95 * errors[1], errors
