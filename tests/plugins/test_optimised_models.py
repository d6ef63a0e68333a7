"""Networks that ONNX Runtime optimised and saved: as much can leave as of the originals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnxruntime as ort
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import Fail

import onnxprune
from onnxprune.analysis import analyze_model
from onnxprune.report.shares import totals

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytest.importorskip("onnxprune_contrib_ops")

LEVELS = {
    "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
}

# What the optimiser folds into constants counts as frozen, or no longer counts: tables of
# positions, a few per cent of the small transformers.
PARAMS, MACS = 0.03, 0.001


def optimised(model: Path, level: str) -> Path:
    """Save what ONNX Runtime makes of a model at a level."""
    target = model.with_suffix(f".{level}.onnx")
    options = ort.SessionOptions()
    options.graph_optimization_level = LEVELS[level]
    options.optimized_model_filepath = str(target)
    load(model, options)
    try:
        load(target, ort.SessionOptions())
    except Fail as error:
        pytest.skip(f"ONNX Runtime does not load what it saved: {error}")
    return target


def load(model: Path, options: ort.SessionOptions) -> None:
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def shares(model: Path) -> tuple[float, float]:
    """Return the shares of parameters and of multiply-accumulates that can leave exactly."""
    found = totals(analyze_model(model))
    return tuple(part.prunable / max(part.total, 1) for part in (found.params, found.macs))


def check(model: Path, level: str, tmp_path: Path) -> None:
    small = optimised(model, level)
    try:
        params, macs = shares(model)
        params_now, macs_now = shares(small)
        assert params_now >= params - PARAMS
        assert macs_now >= macs - MACS
        report = onnxprune.prune(small, tmp_path / "out.onnx", ratio=0.3)
        assert report.verified is not None
        assert report.verified.exact
        assert report.achieved.params > 0.1
    finally:
        small.unlink()


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
def test_networks(
    skeleton_name: str, level: str, fill_skeleton: Callable[[str], Path], tmp_path: Path
) -> None:
    check(fill_skeleton(skeleton_name), level, tmp_path)
