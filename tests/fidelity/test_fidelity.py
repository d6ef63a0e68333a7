"""Fidelity against numbers worked out by hand, for every kind of output."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save_model

from onnxprune.errors import InvalidConfigError, TargetError
from onnxprune.fidelity import Judge, fidelity
from onnxprune.fidelity.metric import measure_metric
from onnxprune.fidelity.scores import ClassScores, find_class_scores
from onnxprune.fidelity.search import search
from onnxprune.io import load_model


def _model(path, weight, *, tail=(), outputs=(("y", TensorProto.FLOAT, ["N", 3]),)):
    """Write x [N, 2] @ weight [2, 3] -> h, and what follows."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), *tail]
    if not tail:
        nodes[0].output[0] = "y"
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])],
        [helper.make_tensor_value_info(*o) for o in outputs],
        [numpy_helper.from_array(np.asarray(weight, np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    save_model(model, path)
    return path


FIRST = [[1, 0, 0.5], [0, 1, 0.5]]
SECOND = [[1, 0, 0.5], [0, 0.2, 0.5]]
SAMPLES = [np.array([[1, 0.1]]), np.array([[0.1, 1]]), np.array([[-1, 0.2]]), np.array([[2, 3]])]


def _pair(tmp_path, first=FIRST, second=SECOND, **kinds):
    return _model(tmp_path / "a.onnx", first, **kinds), _model(tmp_path / "b.onnx", second, **kinds)


def _feeds(samples=SAMPLES):
    return [{"x": s.astype(np.float32)} for s in samples]


def test_numbers_by_hand(tmp_path):
    found = fidelity(*_pair(tmp_path), _feeds())
    x = np.concatenate(SAMPLES)
    a, b = x @ np.array(FIRST), x @ np.array(SECOND)
    p, q = (np.exp(v) / np.exp(v).sum(1, keepdims=True) for v in (a, b))
    [output] = found.outputs
    assert output.relative_error == pytest.approx(np.linalg.norm(a - b) / np.linalg.norm(a), 1e-4)
    assert output.cosine == pytest.approx(
        (a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b), 1e-4
    )
    assert output.kl == pytest.approx((p * np.log(p / q)).sum(1).mean(), 1e-3)
    agreement = (a.argmax(1) == b.argmax(1)).mean()
    assert agreement < 1
    assert output.top1_agreement == pytest.approx(agreement)
    assert found.samples == 4
    assert found.drop == output.drop == pytest.approx(1 - agreement)


def test_a_model_loses_nothing_against_itself(tmp_path):
    first, _ = _pair(tmp_path)
    found = fidelity(first, first, _feeds())
    assert found.drop == 0
    assert found.outputs[0].cosine == 1


def test_whole_numbers_and_numbers_that_are_no_scores(tmp_path):
    tail = (
        helper.make_node("ArgMax", ["h"], ["label"], axis=1, keepdims=0),
        helper.make_node("Tanh", ["h"], ["squashed"]),
    )
    kinds = {
        "tail": tail,
        "outputs": (("label", TensorProto.INT64, ["N"]), ("squashed", TensorProto.FLOAT, None)),
    }
    label, squashed = fidelity(*_pair(tmp_path, **kinds), _feeds()).outputs
    assert label.relative_error is None
    assert 0 < label.equal < 1
    assert label.drop == pytest.approx(1 - label.equal)
    assert squashed.top1_agreement is None
    assert squashed.drop == squashed.relative_error > 0


def test_outputs_of_other_shapes_and_numbers_that_are_lost(tmp_path):
    tail = (
        helper.make_node("NonZero", ["h"], ["places"]),
        helper.make_node("Log", ["h"], ["logs"]),
    )
    kinds = {
        "tail": tail,
        "outputs": (("places", TensorProto.INT64, None), ("logs", TensorProto.FLOAT, None)),
    }
    pair = _pair(tmp_path, [[1, 1, 1], [1, 1, 1]], [[1, 0, -1], [1, 0, -1]], **kinds)
    places, logs = fidelity(*pair, _feeds([np.array([[1.0, 2.0]])])).outputs
    assert (places.reshaped, places.drop) == (1, 1)
    assert (logs.nonfinite, logs.drop) == (2, 1)


PROBABILITIES = ClassScores(1, "probabilities")


@pytest.mark.parametrize(
    ("name", "op", "attributes", "shape", "wanted"),
    [
        ("y", "Softmax", {"axis": -1}, ["N", 3], PROBABILITIES),
        ("y", "Softmax", {"axis": 1}, ["N", 3, 8, 8], PROBABILITIES),
        ("y", "LogSoftmax", {}, ["N", "T", 9], ClassScores(2, "logarithms")),
        ("y", "Reshape", {}, ["N", 3], ClassScores(1, "logits")),
        ("y", "Tanh", {}, ["N", 3], None),
        ("y", "Sigmoid", {}, ["N", 3], None),
        ("class_logits", "Tanh", {}, ["N", "T", 9], ClassScores(2, "logits")),
        ("y", "Add", {}, ["N", "T", 9], None),
        ("y", "Softmax", {}, ["N", 1], None),
        ("y", "Add", {}, None, None),
    ],
)
def test_which_outputs_are_class_scores(name, op, attributes, shape, wanted):
    nodes = [
        helper.make_node(op, ["x", "x"], ["before"], **attributes),
        helper.make_node("Identity", ["before"], [name]),
    ]
    output = helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    model = helper.make_model(
        helper.make_graph(nodes, "g", [], [output]), opset_imports=[helper.make_opsetid("", 17)]
    )
    assert find_class_scores(model) == ({name: wanted} if wanted else {})


@pytest.fixture
def own_code(tmp_path, monkeypatch):
    (tmp_path / "own_metric.py").write_text(
        "import numpy as np\n"
        "X = np.array([[1.0, 0.1], [0.1, 1.0]], np.float32)\n"
        "def score(run):\n"
        "    print('noise')\n"
        "    return (run({'x': X})['y'].argmax(1) == [0, 1]).mean()\n"
        "def words(run):\n    return 'good'\n"
        "def nothing(run):\n    return float('nan')\n"
        "def broken(run):\n    return run({'y': X})\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_metric_of_the_users(own_code, capfd):
    first, second = _pair(own_code, second=[[1, 0, 0.5], [0, 0, 0.5]])
    judge = Judge(load_model(first), (), "own_metric:score")
    judge.begin()
    found = judge.judge(second)
    assert found.fidelity is None
    assert (found.metric.before, found.metric.after, found.drop) == (1, 0.5, 0.5)
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("own_metric:words", "returned 'good', wanted is a finite number"),
        ("own_metric:nothing", "returned nan"),
        ("own_metric:broken", "cannot be run"),
        ("own_metric:absent", "failed: AttributeError"),
        ("own_metric", "wanted is module:function"),
    ],
)
def test_metrics_that_are_none(own_code, entry, told):
    first, _ = _pair(own_code)
    with pytest.raises(Exception, match=told) as caught:
        measure_metric(entry, first)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(("limit", "least", "most"), [(0.25, 0.48, 0.5), (0.9, 0.92, 0.95)])
def test_the_search_comes_near_and_stays_within(limit, least, most):
    found = search(lambda f: (f * f, f), limit)
    assert least <= found.result <= most
    assert [s.kept for s in found.steps] == [s.drop <= limit for s in found.steps]


def test_a_search_that_fails_names_its_smallest_step():
    with pytest.raises(TargetError, match=r"with 1\.\d% of the .* gone, 0\.5 is lost"):
        search(lambda _: (0.5, None), 0.1)


def test_what_cannot_leave_is_no_answer():
    def trial(fraction):
        if fraction > 0.3:
            raise TargetError("out of reach")
        return 0.0, fraction

    found = search(trial, 0.1)
    assert 0.28 <= found.result <= 0.3
    assert found.steps[0].drop is None
    with pytest.raises(InvalidConfigError):
        search(lambda _: (_ for _ in ()).throw(InvalidConfigError("no")), 0.1)
