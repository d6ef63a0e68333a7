"""Files for phones equal the model, and what will run where follows from lists of operators."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxprune.cli.main import run
from onnxprune.core.graph import build_graph
from onnxprune.core.shapes import concretize
from onnxprune.demo import MODEL
from onnxprune.mobile import prepare_for_mobile
from onnxprune.mobile.placement import Network, judge
from onnxprune.mobile.support import Support, supports
from onnxprune.runtime.mobile import operator_list

if TYPE_CHECKING:
    from pathlib import Path


def network(*ops: str, precision: str = "float32", rank: int = 4) -> Network:
    """A chain of operators; convolutions have a constant weight and 10 multiply-accumulates."""
    nodes, weights = [], []
    for number, op in enumerate(ops):
        inputs = [f"x{number}"]
        if op == "Conv":
            inputs.append(f"w{number}")
            kernel = np.zeros((3, 3, *[1] * (rank - 2)), np.float32)
            weights.append(numpy_helper.from_array(kernel, f"w{number}"))
        nodes.append(helper.make_node(op, inputs, [f"x{number + 1}"], name=f"n{number}"))
    shape = [1, 3, *[4] * (rank - 2)]
    ends = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in ("x0", f"x{len(ops)}")
    ]
    graph = build_graph(
        helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:], weights))
    )
    [shapes] = concretize(graph, numpy_helper.to_array, [{}])
    macs = {f"n{i}": 10 for i, op in enumerate(ops) if op == "Conv"}
    return Network(graph, shapes, macs, precision)


def support(**operators: str) -> Support:
    """A provider."""
    table = {("", op): note for op, note in operators.items()}
    return Support("nnapi", "", table, "here", ("float32",))


@pytest.mark.parametrize(
    ("ops", "operators", "verdict", "partitions", "refused"),
    [
        (("Conv", "Relu"), {"Conv": "", "Relu": ""}, "good", 1, []),
        (("Conv", "Relu", "Conv"), {"Conv": ""}, "good", 2, ["Relu"]),
        (("Conv", "Relu", "Conv", "Relu", "Conv"), {"Conv": ""}, "partly", 3, ["Relu"]),
        (("Conv", "Relu"), {"Relu": ""}, "poor", 1, ["Conv"]),
        (("Relu",), {}, "poor", 0, ["Relu"]),
    ],
)
def test_verdicts(
    ops: tuple[str, ...],
    operators: dict[str, str],
    verdict: str,
    partitions: int,
    refused: list[str],
) -> None:
    """Shares of multiply-accumulates and the number of pieces decide."""
    found = judge(network(*ops), support(**operators))
    assert found.verdict == verdict
    assert found.partitions == partitions
    assert [r.op for r in found.refused] == refused


@pytest.mark.parametrize(("rank", "share"), [(4, 1.0), (3, 0.0), (5, 0.0)])
def test_dimensions_count(rank: int, share: float) -> None:
    """A provider with 2D convolutions does not take 1D and 3D ones."""
    found = judge(network("Conv", rank=rank), support(Conv="Only 2D Conv is supported."))
    assert found.macs_share == share
    either = judge(network("Conv", rank=rank), support(Conv="Only 1D/2D Conv is supported."))
    assert either.macs_share == (rank < 5)


def test_precision_counts() -> None:
    """Operators alone are no reason to promise anything."""
    found = judge(network("Conv", precision="QDQ"), support(Conv=""))
    assert found.verdict == "poor"
    assert "QDQ" in found.reason


def test_lists_are_there() -> None:
    """The installed package has them, and they are read whole."""
    for name in ("nnapi", "coreml_mlprogram", "coreml_neuralnetwork"):
        found = operator_list(name)
        assert len(found) > 30
        assert {("", "Conv"), ("", "Relu")} <= found.keys()
        assert not any("<br" in note or "](" in note for note in found.values())
    assert {s.provider for s in supports()} == {"nnapi", "coreml", "xnnpack", "qnn"}


def test_files_equal_the_model(tmp_path: Path) -> None:
    """Sizes are fixed everywhere, and all three files compute what the model computes."""
    report = prepare_for_mobile(MODEL, tmp_path / "out", dims={"batch": 2})
    assert report.dims == {"batch": 2}
    assert len(report.files) == 3
    fixed = onnx.load(report.files[0].path)
    for value in (*fixed.graph.input, *fixed.graph.output):
        assert all(d.HasField("dim_value") for d in value.type.tensor_type.shape.dim)
    onnx.checker.check_model(fixed, full_check=True)
    image = np.random.default_rng(0).normal(size=(2, 1, 8, 8)).astype(np.float32)
    shape = [d.dim_value for d in fixed.graph.input[0].type.tensor_type.shape.dim]
    image = np.resize(image, shape)
    [wanted] = ort.InferenceSession(str(MODEL)).run(None, {"image": image})
    for entry in report.files:
        assert entry.max_rel is not None
        assert entry.max_rel < 1e-4
        [seen] = ort.InferenceSession(entry.path).run(None, {"image": image})
        np.testing.assert_allclose(seen, wanted, rtol=1e-3, atol=1e-4)


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON to stdout and nothing else; mistakes have status 2 and leave nothing."""
    assert run(["mobile", str(MODEL), "-o", str(tmp_path / "out"), "--json", "-"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["format"] == "onnxprune.mobile/1"
    assert {p["verdict"] for p in document["placements"]} <= {"good", "partly", "poor"}
    assert run(["mobile", str(MODEL), "-o", str(tmp_path / "no"), "--dims", "nothing=2"]) == 2
    assert not (tmp_path / "no").exists()
    file = tmp_path / "file"
    file.write_text("")
    assert run(["mobile", str(MODEL), "-o", str(file)]) == 2
    assert file.read_text() == ""


def test_open_size_without_a_name(tmp_path: Path) -> None:
    """Exporters call any open size "?": two of them are two sizes."""
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["?", 3, "?"])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["?", 3, "?"])
    path = tmp_path / "m.onnx"
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value], [out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    report = prepare_for_mobile(path, tmp_path / "out", dims={"x:0": 2, "x:2": 5})
    fixed = onnx.load(report.files[0].path)
    assert [d.dim_value for d in fixed.graph.input[0].type.tensor_type.shape.dim] == [2, 3, 5]
