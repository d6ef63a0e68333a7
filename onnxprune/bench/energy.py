"""Energy of the processor's packages, where the system offers counters of it (Linux powercap).

The counters see everything that runs, so what they say of a model is right on an idle machine only.
They are usually readable by the superuser alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["POWERCAP", "EnergyMeter"]

POWERCAP: Final = Path("/sys/class/powercap")


class EnergyMeter:
    """Reads the counters.

    Args:
        root: Where the system shows them.
    """

    def __init__(self, root: Path = POWERCAP) -> None:
        packages = sorted(root.glob("intel-rapl:?")) if root.is_dir() else []
        self._ranges = {p: _number(p / "max_energy_range_uj") for p in packages}
        self._last = self._read()

    @property
    def available(self) -> bool:
        """Whether there is a counter that can be read."""
        return bool(self._last)

    def spent_mj(self) -> float:
        """Return the millijoules spent since the last call, or since the meter was made."""
        before, self._last = self._last, self._read()
        spent = 0
        for package, now in self._last.items():
            used = now - before.get(package, now)
            if used < 0:  # the counter began anew
                used += self._ranges[package] or 0
            spent += used
        return spent / 1e3

    def _read(self) -> dict[Path, int]:
        found = {package: _number(package / "energy_uj") for package in self._ranges}
        return {package: value for package, value in found.items() if value is not None}


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
