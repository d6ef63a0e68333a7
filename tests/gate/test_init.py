"""`init` writes a configuration that can be read and that a pruned model keeps to."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxprune.config import read_config
from onnxprune.gate import starter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(autouse=True)
def _unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the run, which takes seconds, except where a test wants it."""
    monkeypatch.setattr(starter, "_run", lambda _path, _dims: None)


def test_what_it_proposes_is_kept_to(pair: Path, cli: Callable) -> None:
    assert cli("init", "model.onnx").code == 0
    text = (pair / "onnxprune.toml").read_text()
    [command] = re.findall(r"#   (onnxprune prune .*?--remove-macs [.\d]+)", text, re.DOTALL)
    words = shlex.split(command.replace("\\\n#", " "))[1:]
    words[words.index("--plan-out") + 1] = "other.json"
    assert cli(*words).code == 0
    result = cli("check", "pruned.onnx", "--static", "--format", "json")
    assert result.code == 0, result.out
    section = read_config(pair / "onnxprune.toml").config.check
    assert section is not None
    assert section.max_latency_ratio == 1.05
    assert section.verified == "exact"
    assert section.allow_opsets == [17]


def test_what_was_measured_is_said(
    pair: Path, cli: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.chdir(pair)
    monkeypatch.setattr(starter, "_BUDGET_S", 0.1)
    out = cli("init", "model.onnx", "-o", "-").out
    assert re.search(r"# Where this was written: a run [\d.e-]+ ms, loading [\d.]+ ms", out)
    assert "batch=1" in out


def test_every_commented_key_is_one(pair: Path, cli: Callable) -> None:
    out = cli("init", "model.onnx", "-o", "-").out
    (pair / "all.toml").write_text(re.sub(r"^# ([a-z-]+ = )", r"\1", out, flags=re.MULTILINE))
    section = read_config(pair / "all.toml").config.check
    assert section is not None
    assert section.metric == "evaluate:accuracy"
    assert section.plan == pair / "plan.json"


def test_nothing_is_replaced(pair: Path, cli: Callable) -> None:
    (pair / "onnxprune.toml").write_text("[check]\n")
    result = cli("init", "model.onnx")
    assert result.code == 2
    assert "is there already" in result.err
    assert (pair / "onnxprune.toml").read_text() == "[check]\n"


def test_a_model_that_cannot_be_pruned(tmp_path: Path, cli: Callable) -> None:
    weight = numpy_helper.from_array(np.ones((8, 4), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], "only")], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])], [weight],
    )  # fmt: skip
    path = tmp_path / "fixed.onnx"
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    config = tmp_path / "limits.toml"
    result = cli("init", path, "-o", config, "--dims", "N=3")
    assert result.code == 0, result.err
    text = config.read_text()
    assert "Nothing of it can leave exactly" in text
    section = read_config(config).config.check
    assert section is not None
    assert section.dims == {"N": 3}
    assert section.max_macs_ratio is None
    assert section.baseline == path


HOSTILE = [
    'a"b', "a\\b", "a\nmax-macs = 1", "a\x1b[31m", "größe", "emoji \U0001f600", "# x", "'''",
    "a\u2028b",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_names_do_nothing(name: str, pair: Path, cli: Callable) -> None:
    model = onnx.load(pair / "model.onnx")
    sigmoid = next(n for n in model.graph.node if n.op_type == "Sigmoid")
    sigmoid.op_type, sigmoid.domain = name, f"x{name}"
    model.opset_import.add(domain=f"x{name}", version=1)
    path = pair / f"{name}.onnx"
    onnx.save(model, path)
    result = cli("init", path.name, "-o", "here.toml")
    assert result.code == 0, result.err
    assert "\x1b" not in result.err
    text = (pair / "here.toml").read_text(encoding="utf-8")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u2028]", text)
    section = read_config(pair / "here.toml").config.check
    assert section is not None
    assert section.baseline == pair / path.name
    assert section.allow_ops is not None
    assert f"x{name}.{name}" in section.allow_ops
    assert section.allow_opsets == [17, f"x{name}:1"]
    assert section.max_macs is None
    assert (
        cli(
            "check",
            path.name,
            "--config",
            "here.toml",
            "--static",
            "--max-macs-ratio",
            1,
            "--max-params-ratio",
            1,
            "--max-bytes-ratio",
            1,
        ).code
        == 1
    )  # no provenance
