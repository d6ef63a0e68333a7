"""The example with PyTorch: both pruned networks agree. It is installed for this test alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TORCH = "torch==2.13.0"


@pytest.mark.slow
def test_finetune(tmp_path: Path) -> None:
    """Export, prune, cut the checkpoint, compare, train a step."""
    packages = tmp_path / "packages"
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", packages]
    needs = ["typing_extensions", "sympy", "mpmath", "jinja2", "markupsafe", "filelock", "fsspec"]
    done = subprocess.run([*install, TORCH, *needs], check=False, capture_output=True)
    if done.returncode:
        pytest.skip("PyTorch cannot be installed here")
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": f"{path}{os.pathsep}{packages}"}
    run = subprocess.run(
        [sys.executable, ROOT / "examples/finetune/finetune.py", tmp_path / "out"],
        check=False, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert "one step of training" in run.stdout
