"""A pruned model with its plan, reports made by hand, and a command line in this process."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

import onnxprune
from onnxprune.demo import MODEL
from onnxprune.gate.document import CheckEntry, CheckFile, CheckReport

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def pruned_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model.onnx, small.onnx and the plan between them."""
    folder = tmp_path_factory.mktemp("pair")
    shutil.copy(MODEL, folder / "model.onnx")
    onnxprune.prune(
        folder / "model.onnx", folder / "small.onnx", remove_macs=0.4, allocation="global",
        plan_out=folder / "plan.json",
    )  # fmt: skip
    return folder


@pytest.fixture
def pair(pruned_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder, which is also the working directory."""
    folder = tmp_path / "work"
    shutil.copytree(pruned_once, folder)
    monkeypatch.chdir(folder)
    return folder


def entry(name: str = "max-macs-ratio", **changes: Any) -> CheckEntry:
    """Return an entry that passes, with changes."""
    fields: dict[str, Any] = {
        "name": name, "limit": 0.7, "value": 0.6, "outcome": "pass", "better": "smaller",
        "unit": "ratio", "message": "0.6 is measured; at most 0.7 is allowed",
    }  # fmt: skip
    return CheckEntry(**{**fields, **changes})


def report(*entries: CheckEntry, path: str = "small.onnx", **changes: Any) -> CheckReport:
    """Return a report on a model."""
    fields: dict[str, Any] = {
        "passed": all(e.outcome == "pass" for e in entries),
        "status": 1 if any(e.outcome == "fail" for e in entries) else 0,
        "pruned": CheckFile(path=path, sha256="0" * 64, bytes=10),
        "baseline": CheckFile(path="model.onnx", sha256="1" * 64, bytes=20),
        "config": None, "on_inconclusive": None, "checks": list(entries), "seconds": 1.5,
    }  # fmt: skip
    return CheckReport(**{**fields, **changes})
