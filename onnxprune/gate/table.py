"""The report as a table for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxprune.gate.entries import number
from onnxprune.gate.formats.registry import shown
from onnxprune.report.tables import plain_table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from onnxprune.gate.document import CheckReport

_SIGNS = {"smaller": "<= ", "larger": ">= "}
_MOST = 24


def check_table(report: CheckReport) -> list[RenderableType]:
    """Return a table with a row for each limit, and a sentence for each that is not kept."""
    table = plain_table("Check", "limit", "wanted", "measured", "95 % interval", "outcome")
    for entry in report.checks:
        interval = ""
        if entry.ci95 is not None:
            interval = f"{number(entry.ci95[0])} to {number(entry.ci95[1])}"
        sign = _SIGNS.get(entry.better or "", "")
        value = "-" if entry.value is None else _short(number(entry.value))
        table.add_row(
            shown(entry.name), sign + _short(number(entry.limit)), value, interval, entry.outcome
        )
    lines = []
    for entry in report.checks:
        if entry.outcome != "pass":
            lines.append(f"{entry.outcome}: {entry.name}: {shown(entry.message)}")
            lines += [f"  try: {shown(entry.hint)}"] if entry.hint else []
    counts = {kind: sum(e.outcome == kind for e in report.checks) for kind in _KINDS}
    told = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    verdict = {0: "passed", 1: "failed", 3: "inconclusive"}[report.status]
    return [table, "\n".join([*lines, f"{verdict}: {told}"])]


_KINDS = ("pass", "fail", "inconclusive")


def _short(text: str) -> str:
    text = shown(text)
    return text if len(text) <= _MOST else f"{text[: _MOST - 3]}..."
