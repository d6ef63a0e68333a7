"""Markdown for the summary of a job, or a comment: one table.

Text is inside code elements, where neither mentions nor references to issues are looked for, and
every character that means something in Markdown or HTML is a character reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxprune.gate.entries import number
from onnxprune.gate.formats.registry import file_format, shown

if TYPE_CHECKING:
    from onnxprune.gate.document import CheckEntry, CheckReport

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ,=/")
_MARKS = {"pass": "passed", "fail": "**failed**", "inconclusive": "**inconclusive**"}


@file_format("markdown", "onnxprune-check.md")
def render_markdown(report: CheckReport) -> str:
    """Return a heading and a table."""
    verdict = {0: "passed", 1: "failed", 3: "inconclusive"}[report.status]
    lines = [
        f"### onnxprune check: {verdict}",
        "",
        f"{_code(report.pruned.path)}"
        + (f" against {_code(report.baseline.path)}" if report.baseline else ""),
        "",
        "| limit | wanted | measured | 95 % interval | outcome |",
        "|---|---|---|---|---|",
        *(_row(entry) for entry in report.checks),
    ]
    failed = [entry for entry in report.checks if entry.outcome != "pass"]
    if failed:
        lines += ["", *(f"- {_code(entry.name)}: {_code(_told(entry))}" for entry in failed)]
    if report.skipped:
        lines += ["", f"Not checked: {', '.join(map(_code, report.skipped))}"]
    return "\n".join(lines) + "\n"


def _row(entry: CheckEntry) -> str:
    interval = ""
    if entry.ci95 is not None:
        interval = f"{number(entry.ci95[0])} to {number(entry.ci95[1])}"
    sign = {"smaller": "at most ", "larger": "at least "}.get(entry.better or "", "")
    value = "not measured" if entry.value is None else _code(number(entry.value))
    cells = (
        _code(entry.name), f"{sign}{_code(number(entry.limit))}", value, interval,
        _MARKS[entry.outcome],
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _told(entry: CheckEntry) -> str:
    return f"{entry.message}; try: {entry.hint}" if entry.hint else entry.message


def _code(text: str) -> str:
    inert = "".join(c if c in _PLAIN or not c.isascii() else f"&#{ord(c)};" for c in shown(text))
    return f"<code>{inert}</code>"
