"""Sessions are quiet and repeatable, and their failures are one short line."""

from __future__ import annotations

import importlib
import re
import types

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from onnxprune.errors import InvalidModelError, ProviderUnavailableError
from onnxprune.runtime.session import load_onnxruntime, open_session, run, run_outputs

_X = [("x", TensorProto.FLOAT, ["N", 3])]
_Y = [("y", TensorProto.FLOAT, None)]
_FEED = {"x": np.arange(6, dtype=np.float32).reshape(2, 3)}


@pytest.fixture
def open_model(make_model):
    """Open a session on a model given as for `make_model`."""

    def build(*parts, optimize=True, edit=None, **options):
        model = make_model(*parts, **options)
        if edit is not None:
            edit(model)
        return open_session(model.SerializeToString(), optimize=optimize)

    return build


@pytest.mark.parametrize("optimize", [False, True])
@pytest.mark.parametrize("kind", [bytes, str, "path"])
def test_bytes_and_paths(make_mlp, tmp_path, optimize, kind):
    model = make_mlp()
    path = tmp_path / "m.onnx"
    onnx.save(model, path)
    source = {bytes: model.SerializeToString(), str: str(path), "path": path}[kind]
    (y,) = run(open_session(source, optimize=optimize), {"x": np.ones((2, 4), np.float32)})
    assert y.shape == (2, 3)


def test_external_data(make_mlp, tmp_path):
    path = tmp_path / "m.onnx"
    onnx.save(make_mlp(), path, save_as_external_data=True, size_threshold=0, location="m.bin")
    (y,) = run(open_session(path, optimize=False), {"x": np.ones((2, 4), np.float32)})
    assert y.shape == (2, 3)


def test_options(make_mlp):
    config = {"session.set_denormal_as_zero": "1"}
    model = make_mlp().SerializeToString()
    options = open_session(model, optimize=False, threads=2, config=config).get_session_options()
    assert options.intra_op_num_threads == 2
    assert options.inter_op_num_threads == 1
    assert options.use_deterministic_compute
    assert options.log_severity_level == 3
    level = options.graph_optimization_level
    assert level == onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert options.get_session_config_entry("session.set_denormal_as_zero") == "1"


def test_random_operators_repeat(open_model):
    parts = ([helper.make_node("RandomNormalLike", ["x"], ["y"])], _X, _Y)
    first, second = (run(open_model(*parts, optimize=level), _FEED)[0] for level in (False, True))
    np.testing.assert_array_equal(first, second)


def _set_ir(model):
    model.ir_version = 99


def _set_opset(model):
    model.opset_import[0].version = 99


def _set_input(model):
    model.graph.node[0].input[0] = "nowhere"


@pytest.mark.parametrize(
    ("op", "edit", "text"),
    [
        ("Relu", _set_ir, "Unsupported model IR version: 99, max supported IR version: "),
        ("Relu", _set_opset, "opset 99 of domain ai.onnx is newer than "),
        ("Relu", _set_input, "Node input 'nowhere' is not a graph input"),
        ("NoSuchOp", None, "node 'n' (NoSuchOp): No Op registered for NoSuchOp"),
    ],
)
def test_refused_models(open_model, op, edit, text):
    with pytest.raises(InvalidModelError, match=re.escape(text)) as caught:
        open_model([helper.make_node(op, ["x"], ["y"], name="n")], _X, _Y, edit=edit)
    message = str(caught.value)
    assert message.startswith("ONNX Runtime cannot load the model: ")
    assert "onnxruntime_src" not in message
    assert len(message.splitlines()) == 1


def test_refused_files(tmp_path):
    path = tmp_path / "bad\nname.onnx"
    path.write_bytes(b"no model")
    text = re.escape("bad\\x0aname.onnx': Protobuf parsing failed")
    with pytest.raises(InvalidModelError, match=text):
        open_session(path, optimize=False)
    with pytest.raises(InvalidModelError, match="exist"):
        open_session(tmp_path / "none.onnx", optimize=False)


@pytest.mark.parametrize(
    ("feed", "text"),
    [
        ({}, "Required inputs"),
        ({**_FEED, "q": _FEED["x"]}, "Invalid input name: q"),
        ({"x": np.ones((2, 3))}, "Unexpected input data type"),
        ({"x": np.ones((2, 3, 4), np.float32)}, "Invalid rank for input: x"),
        ({"x": np.ones((2, 4), np.float32)}, "index: 1 Got: 4 Expected: 3"),
    ],
)
def test_refused_feeds(open_model, feed, text):
    session = open_model([helper.make_node("Relu", ["x"], ["y"])], _X, _Y)
    with pytest.raises(InvalidModelError, match=f"the model cannot be run: .*{text}"):
        run(session, feed)


def test_failing_node_is_named(open_model):
    node = helper.make_node("Reshape", ["x", "s"], ["y"], name="r1")
    session = open_model([node], _X, _Y, [("s", np.array([5, 7]))])
    with pytest.raises(InvalidModelError, match=r"node 'r1' \(Reshape\): .*\{2,3\}"):
        run(session, _FEED)


def test_out_of_memory(open_model):
    node = helper.make_node("ConstantOfShape", ["s"], ["y"])
    session = open_model([node], [("s", TensorProto.INT64, [2])], _Y)
    with pytest.raises(MemoryError, match="Failed to allocate memory"):
        run(session, {"s": np.array([1 << 30, 1 << 26])})


@pytest.mark.parametrize(
    ("providers", "text"),
    [
        (["NoSuchExecutionProvider"], "NoSuchExecutionProvider is not available: this build"),
        (["CPUExecutionProvider", ("QNNExecutionProvider", {})], "QNN.* is not available"),
    ],
)
def test_missing_providers(make_mlp, providers, text):
    with pytest.raises(ProviderUnavailableError, match=text):
        open_session(make_mlp().SerializeToString(), optimize=True, providers=providers)


def _without_runtime(monkeypatch, outcome):
    def import_module(_name):
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(importlib, "import_module", import_module)
    load_onnxruntime.cache_clear()


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (ModuleNotFoundError("No module", name="onnxruntime"), "ONNX Runtime is not installed"),
        (ImportError("libcuda.so: no such file"), "does not load: libcuda.so: no such file"),
        (types.ModuleType("onnxruntime"), "not completely installed"),
    ],
)
def test_no_runtime(monkeypatch, outcome, text):
    _without_runtime(monkeypatch, outcome)
    with pytest.raises(ProviderUnavailableError, match=text) as caught:
        load_onnxruntime()
    assert "pip install 'onnxprune[cpu]'" in caught.value.hint


def test_all_kinds_of_outputs(open_model):
    tensor = helper.make_tensor_type_proto(TensorProto.FLOAT, [2, 3])
    session = open_model(
        [
            helper.make_node("Optional", [], ["none"], type=tensor),
            helper.make_node("Optional", ["x"], ["some"]),
            helper.make_node("SequenceConstruct", ["x", "x"], ["two"]),
            helper.make_node("SequenceEmpty", [], ["empty"]),
            helper.make_node("Identity", ["s"], ["words"]),
        ],
        [("x", TensorProto.FLOAT, [2, 3]), ("s", TensorProto.STRING, [1])],
        [
            ("none", helper.make_optional_type_proto(tensor)),
            ("some", helper.make_optional_type_proto(tensor)),
            ("two", helper.make_sequence_type_proto(tensor)),
            ("empty", helper.make_sequence_type_proto(tensor)),
            ("words", TensorProto.STRING, [1]),
        ],
    )
    feed = {**_FEED, "s": np.array(["a"], object)}
    outputs = run_outputs(session, feed)
    assert {name: len(arrays) for name, arrays in outputs.items()} == {
        "none": 1,
        "some": 1,
        "two": 2,
        "empty": 0,
        "words": 1,
    }
    flat = run(session, feed)
    assert flat[0] is None
    assert [array.shape for array in flat[1:]] == [(2, 3), (2, 3), (2, 3), (1,)]


def test_maps(make_model):
    node = helper.make_node("ZipMap", ["x"], ["y"], domain="ai.onnx.ml", classlabels_int64s=[7, 8])
    element = helper.make_map_type_proto(
        TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, [])
    )
    model = make_model(
        [node],
        [("x", TensorProto.FLOAT, [1, 2])],
        [("y", helper.make_sequence_type_proto(element))],
    )
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 1))
    session = open_session(model.SerializeToString(), optimize=True)
    keys, values = run(session, {"x": np.array([[0.25, 0.5]], np.float32)})
    assert (keys.tolist(), values.tolist()) == ([7, 8], [0.25, 0.5])


@pytest.mark.parametrize(
    ("feed", "lengths"),
    [([np.ones((1, 2), np.float32)] * 3, 3), ([], 0)],
)
def test_sequence_input(open_model, feed, lengths):
    tensor = helper.make_tensor_type_proto(TensorProto.FLOAT, ["a", 2])
    session = open_model(
        [helper.make_node("SequenceLength", ["s"], ["y"])],
        [("s", helper.make_sequence_type_proto(tensor))],
        [("y", TensorProto.INT64, [])],
    )
    assert run(session, {"s": feed})[0] == lengths


@pytest.mark.parametrize(
    ("number", "dtype"),
    [
        (TensorProto.BFLOAT16, ml_dtypes.bfloat16),
        (TensorProto.FLOAT8E4M3FN, ml_dtypes.float8_e4m3fn),
        (TensorProto.FLOAT8E5M2, ml_dtypes.float8_e5m2),
    ],
)
@pytest.mark.parametrize("shape", [(2, 3), (0, 3), ()])
def test_types_numpy_does_not_know(open_model, number, dtype, shape):
    session = open_model(
        [helper.make_node("Identity", ["x"], ["y"]), helper.make_node("Identity", ["f"], ["g"])],
        [("x", number, None), ("f", TensorProto.FLOAT, None)],
        [("y", number, None), ("g", TensorProto.FLOAT, None)],
        opset=19,
        ir_version=9,
    )
    x = np.full(shape, 1.5).astype(dtype)
    y, g = run(session, {"x": x, "f": _FEED["x"]})
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(g, _FEED["x"])


def test_types_nobody_can_read(open_model):
    session = open_model(
        [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.UINT4)],
        _X,
        [("y", TensorProto.UINT4, None)],
        opset=21,
        ir_version=10,
    )
    with pytest.raises(
        InvalidModelError, match=r"an output of type tensor\(uint4\) cannot be read"
    ):
        run(session, _FEED)
