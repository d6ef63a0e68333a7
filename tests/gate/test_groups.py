"""The limit on the worst class or subgroup."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from onnxprune.demo import load_digits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BASE = ("--baseline", "model.onnx", "--max-group-drop", "0.05")
DATA = ("--test-data", "images.npy", "--labels", "labels.npy")


@pytest.fixture
def labelled(pair: Path) -> Path:
    """The pair with a few labelled images, half of which belong to a subgroup."""
    images, labels = (array[:80] for array in load_digits())
    np.save(pair / "images.npy", images)
    np.save(pair / "labels.npy", labels)
    (pair / "groups.csv").write_text("\n".join(["group", *["left", "<b>right"] * 40]))
    return pair


def test_the_worst_subgroup_counts(labelled: Path, cli: Callable) -> None:
    assert labelled
    result = cli("check", "small.onnx", *BASE, *DATA, "--groups", "groups.csv", "--format", "json")
    [entry] = result.json["checks"]
    assert entry["name"] == "max-group-drop"
    assert entry["outcome"] == ("pass" if entry["value"] <= 0.05 else "fail")
    assert result.code == (entry["outcome"] == "fail")
    assert entry["ci95"][0] <= entry["value"] <= entry["ci95"][1]
    assert "40 samples: " in entry["message"]


def test_identical_models_pass(labelled: Path, cli: Callable) -> None:
    assert labelled
    line = ("check", "model.onnx", *BASE, *DATA, "--max-group-drop", 0, "--format", "json")
    result = cli(*line)
    assert result.code == 0
    assert result.json["checks"][0]["value"] == 0


@pytest.mark.parametrize(
    ("more", "part"),
    [
        ((), "there are no samples"),
        (("--test-data", "images.npy"), "there are no labels"),
        ((*DATA, "--groups", "labels.csv"), "'labels.csv' does not exist"),
    ],
    ids=["samples", "labels", "groups"],
)
def test_what_is_missing(more: tuple[str, ...], part: str, labelled: Path, cli: Callable) -> None:
    assert labelled
    result = cli("check", "small.onnx", *BASE, *more)
    assert result.code == 2
    assert part in result.err
