"""A checkpoint is cut as the model is: by name, content, path or a mapping; never half of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file, save_file

from onnxprune import pipeline
from onnxprune.cli.main import run
from onnxprune.demo import CALIBRATION, MODEL
from onnxprune.errors import InvalidConfigError, PlanMismatchError
from onnxprune.pipeline.state_dict import module_path

if TYPE_CHECKING:
    from pathlib import Path


def weights_of(path: Path | str) -> dict[str, np.ndarray]:
    """Return the floating-point initializers of a model."""
    found = {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
    return {n: a for n, a in found.items() if a.dtype == np.float32}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A convolution without and one with a matrix product behind it, named as PyTorch does."""
    rng = np.random.default_rng(0)
    shapes = {
        "onnx::Conv_1": (8, 3, 3, 3), "b.weight": (8, 8, 1, 1), "onnx::MatMul_9": (8, 8),
        "c.bias": (8,),
    }  # fmt: skip
    weights = [
        numpy_helper.from_array(rng.normal(size=s).astype(np.float32), n) for n, s in shapes.items()
    ]
    nodes = [
        helper.make_node("Conv", ["x", "onnx::Conv_1"], ["1"], name="/a/conv/Conv", pads=[1] * 4),
        helper.make_node("Relu", ["1"], ["2"], name="/a/Relu"),
        helper.make_node("Conv", ["2", "b.weight"], ["3"], name="/b/Conv"),
        helper.make_node("GlobalAveragePool", ["3"], ["4"], name="/pool"),
        helper.make_node("Flatten", ["4"], ["5"], name="/flatten"),
        helper.make_node("MatMul", ["5", "onnx::MatMul_9"], ["6"], name="/c/MatMul"),
        helper.make_node("Add", ["6", "c.bias"], ["y"], name="/c/Add"),
    ]
    ends = [("x", [1, 3, 5, 5]), ("y", [1, 8])]
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in ends]
    graph = helper.make_graph(nodes, "g", infos[:1], infos[1:], weights)
    path = tmp_path / "model.onnx"
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(made, path)
    return path


def checkpoint(model: Path, **others: np.ndarray) -> dict[str, np.ndarray]:
    """Return the model's weights under the names that PyTorch has for them."""
    own = weights_of(model)
    return {
        "a.conv.weight": own["onnx::Conv_1"], "b.weight": own["b.weight"],
        "c.weight": np.ascontiguousarray(own["onnx::MatMul_9"].T), "c.bias": own["c.bias"],
        **others,
    }  # fmt: skip


def cut(tmp_path: Path, model: Path, tensors: dict[str, np.ndarray], **kwargs: Any) -> Any:
    """Prune, cut the checkpoint, and return it with the weights of the pruned model."""
    save_file(tensors, tmp_path / "in.safetensors", {"epoch": "3"})
    plan = pipeline.plan(model, ratio=0.5)
    pipeline.apply(model, plan, tmp_path / "small.onnx")
    report = pipeline.apply_to_state_dict(
        model, plan, tmp_path / "in.safetensors", tmp_path / "out.safetensors", **kwargs
    )
    return load_file(tmp_path / "out.safetensors"), weights_of(tmp_path / "small.onnx"), report


def test_same_weights(tmp_path: Path, model: Path) -> None:
    """By content, transposed or not, a checkpoint becomes that of the pruned network."""
    tensors = checkpoint(model, **{"c.steps": np.array(7, np.int64)})
    made, small, report = cut(tmp_path, model, tensors)
    np.testing.assert_array_equal(made["a.conv.weight"], small["onnx::Conv_1"])
    np.testing.assert_array_equal(made["b.weight"], small["b.weight"])
    np.testing.assert_array_equal(made["c.weight"], small["onnx::MatMul_9"].T)
    np.testing.assert_array_equal(made["c.bias"], small["c.bias"])
    assert made["c.steps"] == 7
    assert report.kept == ["c.bias", "c.steps"]
    assert len(report.cut) == 3


def test_trained_further(tmp_path: Path, model: Path) -> None:
    """Other values of the same names, or of the same module, are cut in the same places."""
    before = checkpoint(model)
    del before["c.weight"], before["c.bias"]
    made, small, _ = cut(tmp_path, model, {n: 2 * a for n, a in before.items()})
    np.testing.assert_array_equal(made["a.conv.weight"], 2 * small["onnx::Conv_1"])
    np.testing.assert_array_equal(made["b.weight"], 2 * small["b.weight"])


def test_square_without_a_name_is_not_guessed(tmp_path: Path, model: Path) -> None:
    """A square matrix of other values could be either way round."""
    tensors = checkpoint(model)
    tensors["c.weight"] = tensors["c.weight"] + 1
    with pytest.raises(PlanMismatchError, match=r"1 tensors .*'c.weight' \[8, 8\]"):
        cut(tmp_path, model, tensors)
    assert not (tmp_path / "out.safetensors").exists()
    mapping = tmp_path / "mapping.json"
    mapping.write_text('{"c.weight": {"initializer": "onnx::MatMul_9", "transposed": true}}')
    made, small, _ = cut(tmp_path, model, tensors, mapping=mapping)
    np.testing.assert_array_equal(made["c.weight"], small["onnx::MatMul_9"].T + 1)


def test_folded_normalisation_follows_a_mapping(tmp_path: Path, model: Path) -> None:
    """What constant folding took away follows the weight that it went into."""
    tensors = checkpoint(model, **{"b.bn.running_mean": np.arange(8, dtype=np.float64)})
    with pytest.raises(PlanMismatchError, match=r"b\.bn\.running_mean"):
        cut(tmp_path, model, tensors)
    mapping = tmp_path / "mapping.json"
    mapping.write_text(json.dumps({r"(\w)\.bn\..*": r"\1.weight"}))
    made, small, _ = cut(tmp_path, model, tensors, mapping=mapping)
    kept = made["b.bn.running_mean"].astype(int)
    np.testing.assert_array_equal(
        small["b.weight"][:, 0, 0, 0],
        tensors["b.weight"][kept][:, made_inputs(tensors, small)][:, 0, 0, 0],
    )
    assert made["b.bn.running_mean"].dtype == np.float64


def made_inputs(tensors: dict[str, np.ndarray], small: dict[str, np.ndarray]) -> list[int]:
    """Return which rows of the first convolution are left."""
    rows = [r.tobytes() for r in tensors["a.conv.weight"]]
    return [rows.index(r.tobytes()) for r in small["onnx::Conv_1"]]


def test_repaired_weights_arrive(tmp_path: Path) -> None:
    """With a plan that repairs weights, the checkpoint gets the repaired ones."""
    small, plan = tmp_path / "small.onnx", tmp_path / "plan.json"
    pipeline.prune(MODEL, small, ratio=0.5, calibration=CALIBRATION, samples=32, plan_out=plan)
    own = weights_of(MODEL)
    save_file(own, tmp_path / "in.safetensors")
    report = pipeline.apply_to_state_dict(
        MODEL, plan, tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    )
    made, wanted = load_file(tmp_path / "out.safetensors"), weights_of(small)
    assert report.repaired
    for name in made.keys() & wanted.keys():
        np.testing.assert_array_equal(made[name], wanted[name], err_msg=name)


@pytest.mark.parametrize(
    ("mapping", "error", "part"),
    [
        ("[", InvalidConfigError, "no mapping"),
        ('{"(": "b.weight"}', InvalidConfigError, "no mapping"),
        ('{"c.weight": 3}', InvalidConfigError, "no mapping"),
        ('{"c.weight": "nothing"}', PlanMismatchError, "no weight of the model"),
        ('{"c.weight": "\\\\3"}', InvalidConfigError, "cannot be used"),
        ('{"c.bias": {"initializer": "b.weight", "axis": 2}}', PlanMismatchError, "does not fit"),
    ],
)
def test_wrong_mappings(
    mapping: str, error: type[Exception], part: str, tmp_path: Path, model: Path
) -> None:
    """One message, nothing written."""
    path = tmp_path / "mapping.json"
    path.write_text(mapping)
    with pytest.raises(error, match=part):
        cut(tmp_path, model, checkpoint(model), mapping=path)
    assert not (tmp_path / "out.safetensors").exists()


def test_command(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command writes either output, or both, and refuses what is no checkpoint."""
    plan, source = tmp_path / "plan.json", tmp_path / "in.safetensors"
    assert run(["plan", str(model), "-o", str(plan), "--ratio", "0.5"]) == 0
    save_file(checkpoint(model), source)
    out = tmp_path / "out.safetensors"
    call = ["apply", str(model), str(plan)]
    assert run([*call, "--state-dict", str(source), str(out)]) == 0
    assert "3 tensors of the checkpoint cut" in capsys.readouterr().out
    assert run(call) == 2
    assert run([*call, "--mapping", str(source), "-o", str(out)]) == 2
    assert run([*call, "--state-dict", str(source), str(source)]) == 2
    source.write_bytes(b"no such thing")
    assert run([*call, "--state-dict", str(source), str(tmp_path / "new")]) == 2
    assert "is no safetensors file" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("node", "path"),
    [
        ("/layer1/layer1.0/conv1/Conv", "layer1.0.conv1"),
        ("/encoder/layer.0/attention/MatMul", "encoder.layer.0.attention"),
        ("/fc/Gemm", "fc"),
        ("Gemm_12", ""),
    ],
)
def test_module_paths(node: str, path: str) -> None:
    """Nested containers are named once."""
    assert module_path(node) == path
