"""Exported networks: analysed without an error, half of everything removed, verified exact."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from onnxprune.allocation import Target
from onnxprune.analysis import analyze_model
from onnxprune.io import write_model
from onnxprune.pipeline import prune
from onnxprune.planning.selection import Settings, make_plan
from onnxprune.rewrite import rewrite
from onnxprune.verification import verify_cut

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MOST_PARAMS = {
    "resnet18": 0.28, "resnet50": 0.28, "resnext50_32x4d": 0.28, "densenet121": 0.30,
    "mobilenet_v2": 0.36, "mobilenet_v3_large": 0.33, "efficientnet_b0": 0.34, "googlenet": 0.30,
    "deeplabv3_mobilenet_v3_large": 0.32, "shufflenet_v2_x1_0": 0.40, "yolov8n": 0.35,
    "smp_unet_resnet18": 0.30, "vit_b_16": 0.53, "swin_t": 0.55, "sd_unet": 0.33,
    "convnext_tiny": 0.56, "crnn": 0.27, "lstm_bi2": 0.28, "bert": 0.56, "gpt2": 0.57,
    "llama": 0.58, "whisper_enc": 0.54,
}  # fmt: skip
"""Largest fraction of the parameters that may remain when half of every group leaves."""

SAME_SHARE = 0.02
"""How far the two exporters of one network may be apart."""


def _prune_half(path: Path, output: Path) -> float:
    analysis = analyze_model(path)
    plan = make_plan(analysis, Settings(Target("ratio", 0.5)))
    removed = analysis.removed_labels(plan)
    cut = rewrite(
        analysis.proto, analysis.model.array, analysis.deps, removed, copies=analysis.copies
    )
    write_model(cut.proto, output, source=analysis.model, arrays=cut.arrays)
    verification = verify_cut(analysis, removed, output)
    assert verification.exact, verification.failures
    assert verification.max_rel < 1e-5
    return plan.predicted["params"]


@pytest.mark.slow
def test_half_of_an_exported_network(
    skeleton_name: str, fill_skeleton: Callable[[str], Path], tmp_path: Path
) -> None:
    kept = _prune_half(fill_skeleton(skeleton_name), tmp_path / "pruned.onnx")
    assert kept <= MOST_PARAMS[skeleton_name.split(".", maxsplit=1)[0]]


@pytest.mark.parametrize(
    "network",
    ["bert", "gpt2", "llama", "lstm_bi2", "crnn", "whisper_enc", "shufflenet_v2_x1_0", "sd_unet"],
)
def test_both_exporters_keep_the_same_share(
    network: str, fill_skeleton: Callable[[str], Path], tmp_path: Path
) -> None:
    shares = [
        _prune_half(fill_skeleton(f"{network}.{exporter}"), tmp_path / f"{exporter}.onnx")
        for exporter in ("ts", "dynamo")
    ]
    assert abs(shares[0] - shares[1]) <= SAME_SHARE
    assert max(shares) <= MOST_PARAMS[network]


@pytest.mark.parametrize("network", ["bert", "sd_unet", "whisper_enc", "mobilenet_v2"])
def test_the_coupling_that_is_chosen_takes_no_longer_than_either(
    network: str, fill_skeleton: Callable[[str], Path], tmp_path: Path
) -> None:
    path = fill_skeleton(f"{network}.ts")
    times = {}
    for coupling in ("constrained", "unconstrained", "auto"):
        report = prune(
            path, tmp_path / "out.onnx", remove_params=0.4, coupling=coupling, verify=False
        )
        times[coupling] = report.predicted_us["written"]
    assert times["auto"] <= 1.04 * min(times.values())
