"""Make entries: a value against its limit, with or without an interval."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, TypeAlias

from onnxprune.gate.document import CheckEntry, CheckValue, Outcome

if TYPE_CHECKING:
    from onnxprune.errors import OnnxPruneError

__all__ = ["Interval", "at_least", "at_most", "decide", "number", "unmeasured", "within"]

Interval: TypeAlias = tuple[float, float]


def at_most(
    name: str, limit: float, value: float, *, unit: str = "", detail: str = ""
) -> CheckEntry:
    """Return the outcome for a value that may not be above its limit."""
    kept = value <= limit  # what is no number is not, and does not pass
    return _compared(name, limit, value, "smaller", kept=kept, unit=unit, detail=detail)


def at_least(
    name: str, limit: float, value: float, *, unit: str = "", detail: str = ""
) -> CheckEntry:
    """Return the outcome for a value that may not be below its limit."""
    kept = value >= limit
    return _compared(name, limit, value, "larger", kept=kept, unit=unit, detail=detail)


def _compared(
    name: str,
    limit: float,
    value: float,
    better: Literal["smaller", "larger"],
    *,
    kept: bool,
    unit: str,
    detail: str,
) -> CheckEntry:
    wanted = "at most" if better == "smaller" else "at least"
    message = f"{number(value)} is measured; {wanted} {number(limit)} is allowed"
    return CheckEntry(
        name=name, limit=limit, value=value if math.isfinite(value) else str(value),
        outcome="pass" if kept else "fail", better=better, unit=unit,
        message=f"{message} ({detail})" if detail else message,
    )  # fmt: skip


def within(  # everything that there is to say
    name: str,
    limit: float,
    value: float,
    interval: Interval,
    *,
    trouble: str = "",
    detail: str = "",
) -> CheckEntry:
    """Return the outcome for a ratio whose interval has to end below its limit.

    It fails where the interval begins above the limit, and is inconclusive between the two.

    Args:
        name: Name of the entry.
        limit: Upper end that the interval may have.
        value: The ratio.
        interval: Where it lies.
        trouble: Why the interval cannot be trusted; then nothing is decided.
        detail: What else there is to say.
    """
    low, high = interval
    outcome: Outcome = "inconclusive"
    if not trouble and high <= limit:
        outcome = "pass"
    elif not trouble and low > limit:
        outcome = "fail"
    message = f"{number(value)} is measured, between {number(low)} and {number(high)}; "
    message += f"at most {number(limit)} is allowed"
    for more in (trouble, detail):
        message += f" ({more})" if more else ""
    return CheckEntry(
        name=name, limit=limit, value=value, ci95=interval, outcome=outcome, better="smaller",
        unit="ratio", message=message,
        hint="" if outcome == "pass" else _BLAME[outcome],
    )  # fmt: skip


_BLAME = {
    "fail": "`onnxprune bench --json FILE` shows which operators take the time",
    "inconclusive": "give it more time (time-budget), a quieter machine, or a limit further away",
}


def decide(
    name: str, limit: CheckValue, value: CheckValue, *, kept: bool, message: str, hint: str = ""
) -> CheckEntry:
    """Return an entry for what is no number.

    Args:
        name: Name of the entry.
        limit: What is wanted.
        value: What was seen.
        kept: Whether that is right.
        message: Both in words.
        hint: What to try when it is not.
    """
    return CheckEntry(
        name=name, limit=limit, value=value, outcome="pass" if kept else "fail", message=message,
        hint="" if kept else hint,
    )  # fmt: skip


def unmeasured(name: str, limit: CheckValue, error: OnnxPruneError) -> CheckEntry:
    """Return an entry for what could not be measured."""
    return CheckEntry(
        name=name, limit=limit, value=None, outcome="inconclusive",
        message=f"could not be measured, the limit is {number(limit)}: {error.message}",
        hint=error.hint or "",
    )  # fmt: skip


def number(value: CheckValue) -> str:
    """Return a value as people write it.

    Examples:
        >>> number(0.70000001), number(1234567), number(["Conv", "Relu"])
        ('0.7', '1234567', 'Conv, Relu')
    """
    if isinstance(value, list):
        return ", ".join(value) or "nothing"
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.4g}"
    return str(int(value)) if isinstance(value, float) else str(value)
