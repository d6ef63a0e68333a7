"""Tests of plug-ins: one thread per process, and only of those that are installed here."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

ABSENT = {
    project.parent
    for project in Path(__file__).parent.glob("*/pyproject.toml")
    if importlib.util.find_spec(project.parent.name.replace("-", "_")) is None
}


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out what belongs to a package that is not installed."""
    return True if ABSENT.intersection(collection_path.parents) else None
