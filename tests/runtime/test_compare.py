"""Differences of outputs are measured where they may be, and counted where they may not."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from onnxprune.errors import InvalidModelError, VerificationError
from onnxprune.runtime import difference
from onnxprune.runtime.compare import compare_models, compare_sessions
from onnxprune.runtime.difference import OutputDifference, measure
from onnxprune.runtime.feeds import FeedRecipe, choose_dims, input_specs
from onnxprune.runtime.isolate import IsolatedMemoryError, run_isolated
from onnxprune.runtime.session import open_session

_NAN, _INF = math.nan, math.inf


def _f32(*values):
    return np.array(values, np.float32)


@pytest.mark.parametrize(
    ("wanted", "seen", "expected"),
    [
        ([_f32(1, -4)], [_f32(1, -4)], {"scale": 4, "elements": 2}),
        (
            [_f32(1, -4)],
            [_f32(1, -5)],
            {"max_abs": 1, "max_rel": 0.25, "scale": 4, "elements": 2},
        ),
        ([_f32(0)], [_f32(0.5)], {"max_abs": 0.5, "max_rel": _INF, "elements": 1}),
        ([_f32(_NAN, _INF, 2)], [_f32(_NAN, _INF, 2)], {"scale": 2, "nonfinite": 2, "elements": 3}),
        (
            [_f32(_NAN, _INF, 2, 1)],
            [_f32(1, -_INF, _NAN, 1)],
            {"scale": 2, "nonfinite": 2, "nonfinite_mismatches": 3, "elements": 4},
        ),
        (
            [np.array([1 + 1j])],
            [np.array([1 - 2j])],
            {"max_abs": 3, "max_rel": 3 / math.sqrt(2), "scale": math.sqrt(2), "elements": 1},
        ),
        (
            [np.array([2], ml_dtypes.bfloat16)],
            [np.array([3], ml_dtypes.bfloat16)],
            {"max_abs": 1, "max_rel": 0.5, "scale": 2, "elements": 1},
        ),
        ([np.arange(3)], [np.array([0, 9, 9])], {"mismatches": 2, "elements": 3}),
        ([np.array(True)], [np.array(False)], {"mismatches": 1, "elements": 1}),
        ([np.array(["a", "b"], object)], [np.array(["a", "c"])], {"mismatches": 1, "elements": 2}),
        (
            [np.array([1], ml_dtypes.int4)],
            [np.array([2], ml_dtypes.int4)],
            {"mismatches": 1, "elements": 1},
        ),
        ([np.zeros((0, 3), np.float32)], [np.zeros((0, 3), np.float32)], {}),
        ([None], [None], {}),
        ([], [], {}),
        (
            [_f32(1)],
            [_f32(1, 2)],
            {"shapes_equal": False, "detail": "shape [2] instead of shape [1]"},
        ),
        ([_f32(1)], [None], {"shapes_equal": False, "detail": "no value instead of shape [1]"}),
        ([], [None], {"shapes_equal": False, "detail": "1 elements instead of 0 elements"}),
        ([None], None, {"shapes_equal": False, "detail": "no output instead of 1 elements"}),
        (
            [_f32(1)],
            [np.ones(1)],
            {"dtypes_equal": False, "detail": "element type float64 instead of float32"},
        ),
        (
            [_f32(2), _f32(8)],
            [_f32(2), _f32(9)],
            {"max_abs": 1, "max_rel": 0.125, "scale": 8, "elements": 2},
        ),
    ],
)
def test_measure(wanted, seen, expected):
    found = measure("y", wanted, seen)
    assert found == OutputDifference("y", **expected)
    counts = ("mismatches", "nonfinite_mismatches", "detail")
    assert found.comparable == expected.keys().isdisjoint(counts)


def test_measure_large_arrays_in_chunks(monkeypatch):
    monkeypatch.setattr(difference, "_CHUNK", 7)
    wanted = np.arange(30.0).reshape(5, 6)
    seen = wanted.copy()
    seen[4, 5] += 2
    found = measure("y", [wanted], [seen])
    assert (found.max_abs, found.scale, found.elements) == (2, 29, 30)


def test_merged_takes_the_worst_feed():
    first = measure("y", [_f32(100)], [_f32(101)])
    second = measure("y", [_f32(1)], [_f32(1.5)])
    both = first.merged(second)
    assert (both.max_abs, both.max_rel, both.scale, both.elements) == (1, 0.5, 100, 2)


def _recipes(model):
    specs = input_specs(model)
    return [FeedRecipe(specs, choose_dims(specs, {}, setting=n), seed=n) for n in range(2)]


def test_same_model(make_mlp):
    model = make_mlp()
    data = model.SerializeToString()
    steps = []
    result = compare_models(
        data, data, feeds=_recipes(model), progress=lambda *step: steps.append(step)
    )
    assert result.feeds == 2
    assert [level.optimize for level in result.levels] == [False, True]
    for level in result.levels:
        (y,) = level.outputs
        assert (y.name, y.max_abs, y.elements, y.comparable) == ("y", 0, 15, True)
        assert y.scale > 0
    assert [noise.name for noise in result.noise] == ["y"]
    assert result.noise[0].max_rel < 1e-5
    assert steps == [(done + 1, 6) for done in range(6)]


def test_noise_of_one_setting_comes_from_the_last_bits_of_the_inputs(make_mlp):
    model = make_mlp()
    data = model.SerializeToString()
    result = compare_models(data, data, feeds=_recipes(model), optimize=[True, True])
    assert len(result.levels) == 1
    [noise] = result.noise
    assert 0 < noise.max_rel < 1e-5


def test_different_model(make_mlp):
    model = make_mlp()
    other = make_mlp(scale=1.5)
    feeds = [{"x": np.ones((2, 4), np.float32)}, *_recipes(model)]
    result = compare_models(model.SerializeToString(), other.SerializeToString(), feeds=feeds)
    for level in result.levels:
        assert level.outputs[0].max_rel == pytest.approx(0.5, abs=1e-5)


def test_sessions(make_mlp):
    model = make_mlp()
    first = open_session(model.SerializeToString(), optimize=False)
    second = open_session(make_mlp(scale=2.0).SerializeToString(), optimize=True)
    (y,) = compare_sessions(first, second, feeds=_recipes(model))
    assert y.max_rel == pytest.approx(1.0, abs=1e-5)


def test_missing_output(make_mlp):
    model, other = make_mlp(), make_mlp()
    other.graph.output[0].name = other.graph.node[-1].output[0] = "z"
    result = compare_models(
        model.SerializeToString(), other.SerializeToString(), feeds=_recipes(model)
    )
    details = {output.name: output.detail for output in result.levels[0].outputs}
    assert details == {
        "y": "no output instead of 1 elements",
        "z": "1 elements instead of no output",
    }


@pytest.fixture
def broken(make_model):
    """A model that loads and takes the input of `make_mlp`, and fails in its only node."""
    return make_model(
        [helper.make_node("Reshape", ["x", "s"], ["y"], name="r1")],
        [("x", TensorProto.FLOAT, ["N", 4])],
        [("y", TensorProto.FLOAT, None)],
        [("s", np.array([3, 7]))],
    )


def test_whose_failure_it_is(make_mlp, broken):
    model = make_mlp()
    good, bad = model.SerializeToString(), broken.SerializeToString()
    feeds = _recipes(model)
    with pytest.raises(InvalidModelError, match=r"the original: .*node 'r1'"):
        compare_models(bad, good, feeds=feeds)
    with pytest.raises(VerificationError, match=r"the pruned model: .*node 'r1'"):
        compare_models(good, bad, feeds=feeds)
    with pytest.raises(InvalidModelError, match="the original: ONNX Runtime cannot load"):
        compare_models(b"no model", good, feeds=feeds)
    with pytest.raises(VerificationError, match="the pruned model: ONNX Runtime cannot load"):
        compare_models(good, b"no model", feeds=feeds)


def _isolated(**kwargs):
    return run_isolated(
        "onnxprune.runtime.compare:compare_models",
        kwargs,
        timeout_s=60,
        memory_limit_bytes=512 << 20,
    )


def test_isolated(make_mlp, tmp_path):
    model = make_mlp()
    path = tmp_path / "m.onnx"
    onnx.save(model, path)
    result = _isolated(original=path, pruned=model.SerializeToString(), feeds=_recipes(model))
    assert all(level.outputs[0].max_abs == 0 for level in result.levels)


def test_isolated_failure(make_mlp, broken):
    model = make_mlp()
    good, bad = model.SerializeToString(), broken.SerializeToString()
    with pytest.raises(VerificationError, match=r"the pruned model: .*node 'r1'"):
        _isolated(original=good, pruned=bad, feeds=_recipes(model))


def test_isolated_memory_bomb(make_model):
    model = make_model(
        [
            helper.make_node("ConstantOfShape", ["s"], ["big"], name="bomb"),
            helper.make_node("Add", ["x", "big"], ["y"]),
        ],
        [("x", TensorProto.FLOAT, [1])],
        [("y", TensorProto.FLOAT, None)],
        [("s", np.array([1 << 31]))],
    )
    data = model.SerializeToString()
    with pytest.raises(IsolatedMemoryError, match=r"512 MiB .*node 'bomb' \(ConstantOfShape\)"):
        _isolated(original=data, pruned=data, feeds=_recipes(model))
