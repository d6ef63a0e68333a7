"""The machine and the software that a measurement was made with."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import onnx

from onnxprune.bench.document import MachineEntry
from onnxprune.runtime.machine import processor, usable_cores

__all__ = ["describe_machine", "load_average"]


def describe_machine() -> MachineEntry:
    """Return what is known of this machine."""
    return MachineEntry(
        cpu=processor(),
        cores=usable_cores(),
        memory_bytes=_memory(),
        architecture=platform.machine(),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        onnx=onnx.__version__,
        load_average=load_average(),
        governor=_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
    )


def load_average() -> list[float] | None:
    """Return the load over 1, 5 and 15 minutes, None where the system does not tell."""
    return [round(v, 2) for v in os.getloadavg()] if hasattr(os, "getloadavg") else None


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def _line(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except OSError:
        return None
