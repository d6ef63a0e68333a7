"""What computes here: the processor and its cores."""

from __future__ import annotations

import os
import platform
from pathlib import Path

__all__ = ["processor", "usable_cores"]

_CPU_NAMES = ("model name", "Model", "Hardware")


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor() -> str:
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    named = (line.partition(":") for line in lines)
    found = {key.strip(): value.strip() for key, _, value in named}
    return next((found[name] for name in _CPU_NAMES if found.get(name)), platform.processor())
