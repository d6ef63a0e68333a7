"""Exported networks, every consumer for itself: exact files, and plans that are replayed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import onnxprune

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NETWORKS = (
    "resnet18.ts", "mobilenet_v3_large.dynamo", "shufflenet_v2_x1_0.ts", "googlenet.ts",
    "yolov8n.ts", "sd_unet.dynamo",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("ratio", [0.3, 0.5])
def test_an_exported_network(
    name: str, ratio: float, fill_skeleton: Callable[[str], Path], tmp_path: Path
) -> None:
    path, plan = fill_skeleton(name), tmp_path / "plan.json"
    first, second = tmp_path / "first.onnx", tmp_path / "second.onnx"
    report = onnxprune.prune(
        path, first, ratio=ratio, criterion="random", coupling="unconstrained", plan_out=plan
    )
    assert report.verified is not None
    assert report.verified.exact
    onnxprune.apply(path, plan, second, verify=False)
    assert first.read_bytes() == second.read_bytes()
