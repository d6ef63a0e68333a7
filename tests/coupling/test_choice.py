"""What `--coupling auto` decides takes no longer than the better of both couplings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from onnxprune.allocation import Target
from onnxprune.analysis import analyze_model
from onnxprune.analysis.expansion import expand
from onnxprune.planning.options import make_settings
from onnxprune.planning.plans import with_layout
from onnxprune.planning.predictions import predict, predicted_us
from onnxprune.planning.segments import CLEARLY, choose_forks
from onnxprune.planning.selection import make_plan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from onnxprune.analysis import Analysis

NOISE = CLEARLY + 0.01
"""Beside what the choice may cost, a little for the plan's rounding of counts."""


def time(analysis: Analysis, options: dict) -> float:
    settings = make_settings(options)
    plan, _ = with_layout(analysis, make_plan(analysis, settings), settings)
    return predicted_us(analysis, plan)


def check(path: Path, options: dict, target: Target) -> None:
    tied = analyze_model(path)
    free = expand(tied)
    forks = choose_forks(free, target)
    assert set(forks) <= set(free.forks)
    chosen = expand(tied, values=forks) if forks else tied
    best = min(time(tied, options), time(free, options))
    assert time(chosen, options) <= best * (1 + NOISE)


TARGETS = [
    ({"ratio": 0.5}, Target("ratio", 0.5)),
    ({"remove_macs": 0.5}, Target("macs", 0.5)),
    ({"remove_params": 0.4}, Target("params", 0.4)),
]


@pytest.mark.parametrize(("options", "target"), TARGETS[:1], ids=["ratio"])
def test_small_networks(net: Path, options: dict, target: Target) -> None:
    check(net, options, target)  # one channel of theirs is more than noise where MACs are counted


@pytest.mark.slow
@pytest.mark.parametrize(("options", "target"), TARGETS, ids=[t.metric for _, t in TARGETS])
@pytest.mark.parametrize("network", ["mobilenet_v2.ts", "googlenet.ts", "yolov8n.ts"])
def test_exported_networks(
    fill_skeleton: Callable[[str], Path], network: str, options: dict, target: Target
) -> None:
    check(fill_skeleton(network), options, target)


@pytest.mark.slow
@pytest.mark.parametrize(("options", "target"), TARGETS, ids=[t.metric for _, t in TARGETS])
def test_a_trained_residual_network(shared: Path, options: dict, target: Target) -> None:
    check(shared / "models" / "resnet20_cifar10.onnx", options, target)


def test_a_report_says_what_other_ways_would_take(residual_net: Path) -> None:
    free = expand(analyze_model(residual_net))
    settings = make_settings({"ratio": 0.5, "criterion": "random"})
    plan, _ = with_layout(free, make_plan(free, settings), settings)
    times = predict(free, plan)
    assert list(times) == ["original", "constrained", "naive", "upscale", "written"]
    assert 0 < times["written"] <= min(times["naive"], times["upscale"])
    assert times["written"] == pytest.approx(predicted_us(free, plan), abs=0.1)
