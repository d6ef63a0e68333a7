"""Tests of plug-ins: one thread per process, and only of those that are installed here."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

collect_ignore = [
    project.parent.name
    for project in Path(__file__).parent.glob("*/pyproject.toml")
    if importlib.util.find_spec(project.parent.name.replace("-", "_")) is None
]
