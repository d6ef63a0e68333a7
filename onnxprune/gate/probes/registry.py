"""The table of probes: what measures which limits.

A new limit is a field of `config.check.Limits` and a probe in a module of this package, which is
listed in its `__init__.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from onnxprune.config import Limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from onnxprune.gate.document import CheckEntry
    from onnxprune.gate.job import Job

__all__ = ["PROBES", "Probe", "given_limits", "probe"]

Measure: TypeAlias = "Callable[[Job], list[CheckEntry]]"


@dataclass(frozen=True, slots=True)
class Probe:
    """What measures some limits.

    Attributes:
        limits: Fields of `Limits`.
        static: Whether it only looks at files.
        measure: Returns an entry for each of these limits that is given.
    """

    limits: tuple[str, ...]
    static: bool
    measure: Measure


PROBES: list[Probe] = []


def probe(*limits: str, static: bool = False) -> Callable[[Measure], Measure]:
    """Register the function that measures some limits.

    Args:
        limits: Fields of `Limits`.
        static: Whether it only looks at files, so that `--static` has it.
    """

    def register(measure: Measure) -> Measure:
        taken = [name for known in PROBES for name in known.limits if name in limits]
        assert not taken, f"two probes measure {taken}"
        assert set(limits) <= set(Limits.model_fields), limits
        PROBES.append(Probe(limits, static, measure))
        return measure

    return register


def given_limits(section: Limits) -> list[str]:
    """Return the fields of the limits that are given."""
    values = {name: getattr(section, name) for name in Limits.model_fields}
    # By identity: a limit of 0 is one.
    return [name for name, value in values.items() if value is not None and value is not False]
