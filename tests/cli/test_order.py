"""`onnxprune order`: text, picture and JSON of what consumers read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import onnx
import pytest

from onnxprune.testing.shared_channels import residual

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "net.onnx"
    onnx.save(residual(), path)
    return path


def test_shows_every_stream(cli: Callable, net: Path, tmp_path: Path) -> None:
    picture = tmp_path / "streams.svg"
    outcome = cli("order", net, "--ratio", "0.5", "--criterion", "random", "--svg", picture)
    assert outcome.code == 0
    assert "16 channels, the same order in 3 values" in outcome.out
    assert outcome.out.count("conv_") == 3
    assert ET.parse(picture).getroot().tag.endswith("svg")


def test_a_plan_is_shown_as_it_was_made(cli: Callable, net: Path, tmp_path: Path) -> None:
    options = ("--ratio", "0.5", "--criterion", "random")
    plan = tmp_path / "plan.json"
    assert cli("plan", net, "-o", plan, *options, "--coupling", "unconstrained").code == 0
    made = cli("order", net, *options, "--json", "-")
    shown = cli("order", net, "--plan", plan, "--json", "-")
    assert made.out == shown.out
    [stream] = json.loads(shown.out)["streams"]
    assert sorted(stream["order"]) == list(range(16))
    for consumer in stream["consumers"]:
        assert [stream["order"][p] for p in consumer["after"]] != []
        assert sorted(stream["order"][p] for p in consumer["after"]) == consumer["before"]


def test_wants_a_plan_or_a_target(cli: Callable, net: Path, tmp_path: Path) -> None:
    assert cli("order", net).code == 2
    assert cli("order", net, "--plan", tmp_path / "plan.json", "--ratio", "0.5").code == 2
