"""Residual branches are chosen by what the outputs lose, and the rest makes up for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import numpy_helper, parser

from onnxprune import pipeline
from onnxprune.cli.main import app
from onnxprune.errors import InvalidConfigError, TargetError
from onnxprune.runtime.gates import distortion
from onnxprune.runtime.session import open_session, run_outputs

if TYPE_CHECKING:
    from pathlib import Path

WIDTH, HIDDEN = 8, 16
SCALES = (1.0, 0.001, 0.6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three residual branches of different weight, a head behind them, and samples."""
    lines, weights = [], {"head": (WIDTH, 3)}
    stream = "x"
    for number, _ in enumerate(SCALES):
        lines.append(
            f"a{number} = MatMul({stream}, w{number}) r{number} = Relu(a{number}) "
            f"f{number} = MatMul(r{number}, v{number}) s{number} = Add({stream}, f{number})"
        )
        weights |= {f"w{number}": (WIDTH, HIDDEN), f"v{number}": (HIDDEN, WIDTH)}
        stream = f"s{number}"
    body = "\n ".join(lines).replace(") ", ")\n ")
    graph = parser.parse_graph(
        f"g (float[N, {WIDTH}] x) => (float[N, 3] y) {{\n {body}\n y = MatMul({stream}, head)\n}}"
    )
    generator = np.random.default_rng(0)
    for name, shape in weights.items():
        scale = SCALES[int(name[1])] if name.startswith("v") else 1.0
        array = generator.standard_normal(shape) * scale / np.sqrt(shape[0])
        graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), name))
    opsets = [onnx.helper.make_opsetid("", 17)]
    path = tmp_path_factory.mktemp("depth")
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), path / "m.onnx")
    np.save(path / "x.npy", generator.standard_normal((80, WIDTH)).astype(np.float32))
    return path


def outputs(path: Path) -> list[dict[str, np.ndarray]]:
    x = np.random.default_rng(5).standard_normal((64, WIDTH)).astype(np.float32)
    found = run_outputs(open_session(path, optimize=True), {"x": x})
    return [{k: np.asarray(v[0]) for k, v in found.items()}]


def test_the_lightest_branch_leaves_first(folder: Path) -> None:
    report = pipeline.prune(
        folder / "m.onnx", folder / "one.onnx", depth=1, calibration=folder / "x.npy",
        plan_out=folder / "one.json",
    )  # fmt: skip
    assert report.branches_removed == ["Add_7"]
    assert report.requested == {"depth": 1}
    assert report.groups_pruned == 0
    assert report.verified is not None
    assert report.verified.exact
    assert report.achieved.macs == pytest.approx(256 / 792, abs=1e-5)
    assert report.notes == []
    assert report.fidelity is not None
    again = pipeline.apply(folder / "m.onnx", folder / "one.json", folder / "again.onnx")
    assert (folder / "again.onnx").read_bytes() == (folder / "one.onnx").read_bytes()
    assert again.requested == {"depth": 1}
    assert pipeline.verify(folder / "m.onnx", folder / "one.onnx", plan=folder / "one.json").passed


def test_repair_makes_up_for_a_branch(folder: Path) -> None:
    lost = {}
    for recovery in ("none", "least-squares"):
        small = folder / f"{recovery}.onnx"
        pipeline.prune(
            folder / "m.onnx", small, depth=2, recovery=recovery, calibration=folder / "x.npy",
            verify=False,
        )  # fmt: skip
        lost[recovery] = distortion(outputs(folder / "m.onnx"), outputs(small))
    assert lost["least-squares"] < 0.8 * lost["none"]


def test_branches_compete_with_channels(folder: Path) -> None:
    report = pipeline.prune(
        folder / "m.onnx", folder / "auto.onnx", remove_macs=0.4, depth="auto",
        calibration=folder / "x.npy",
    )  # fmt: skip
    assert report.branches_removed == ["Add_7"]
    assert report.groups_pruned > 0
    assert report.achieved.macs >= 0.4
    assert report.verified is not None
    assert report.verified.exact


def test_a_number_of_branches_and_channels_for_the_rest(folder: Path) -> None:
    plan = pipeline.plan(
        folder / "m.onnx", remove_macs=0.5, depth=1, calibration=folder / "x.npy", recovery="none"
    )
    assert [b.id for b in plan.branches] == ["b1"]
    assert plan.branches[0].score["cosine"] > 0.99
    assert plan.predicted["macs"] <= 0.5
    gone = {s.initializer for g in plan.groups for s in g.slices}
    assert "w1" not in gone or "v1" not in gone  # nothing is chosen inside what leaves anyway


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"depth": 1}, InvalidConfigError, "with samples"),
        ({"depth": 4, "calibration": "synthetic"}, TargetError, "there are 3"),
        ({"depth": -1, "calibration": "synthetic"}, InvalidConfigError, "from 1, or auto"),
        ({"depth": "auto", "calibration": "synthetic"}, InvalidConfigError, "one target"),
        (
            {"depth": "auto", "ratio": 0.5, "calibration": "synthetic"},
            InvalidConfigError,
            "knapsack",
        ),
    ],
)
def test_mistakes(
    folder: Path, options: dict[str, object], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        pipeline.prune(folder / "m.onnx", folder / "refused.onnx", **options)
    assert not (folder / "refused.onnx").exists()


def test_the_commands(folder: Path) -> None:
    def run(*arguments: object) -> str:
        return CliRunner().invoke(app, [str(a) for a in arguments]).output

    assert "Residual branches: 3" in run("analyze", folder / "m.onnx")
    shown = run(
        "prune", folder / "m.onnx", "-o", folder / "cli.onnx", "--depth", "1", "--calibration",
        "synthetic", "--samples", "16", "--recovery", "none",
    )  # fmt: skip
    assert "branches removed" in shown
    assert "neither a whole number" in run("prune", "m", "-o", "n", "--depth", "some")
