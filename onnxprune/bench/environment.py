"""The machine and the software that a measurement was made with."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import onnx

from onnxprune.bench.document import MachineEntry

__all__ = ["describe_machine", "load_average"]

_CPU_NAMES = ("model name", "Model", "Hardware")


def describe_machine() -> MachineEntry:
    """Return what is known of this machine."""
    return MachineEntry(
        cpu=_cpu(),
        cores=_cores(),
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


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    named = (line.partition(":") for line in lines)
    found = {key.strip(): value.strip() for key, _, value in named}
    return next((found[name] for name in _CPU_NAMES if found.get(name)), platform.processor())


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
