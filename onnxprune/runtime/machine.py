"""What computes here: the processor and its cores."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Machine", "describe", "processor", "usable_cores"]

_CPU_NAMES = ("model name", "Model", "Hardware")


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine, as far as it tells.

    Attributes:
        cpu: The processor's name.
        cores: Cores that this process may use.
        memory_bytes: Its memory.
        architecture: What programs it runs.
        system: The kernel and its version.
        python: Version of this interpreter.
        load_average: The load over 1, 5 and 15 minutes.
        governor: How it chooses its clock frequency.
    """

    cpu: str
    cores: int
    memory_bytes: int | None
    architecture: str
    system: str
    python: str
    load_average: list[float] | None
    governor: str | None


def describe() -> Machine:
    """Return what is known of this machine."""
    return Machine(
        cpu=processor(),
        cores=usable_cores(),
        memory_bytes=_memory(),
        architecture=platform.machine(),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        load_average=(
            [round(v, 2) for v in os.getloadavg()] if hasattr(os, "getloadavg") else None
        ),
        governor=_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
    )


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
