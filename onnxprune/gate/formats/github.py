"""Annotations of GitHub Actions: workflow commands, which the runner reads from the log.

A line that begins with `::` is a command, and so is `##[` anywhere in a line; percent signs, line
ends and, in properties, colons and commas are written in hexadecimal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from onnxprune.gate.formats.registry import file_format, shown
from onnxprune.gate.formats.sarif import relative_uri

if TYPE_CHECKING:
    from onnxprune.gate.document import CheckReport

_MESSAGE: Final = {"%": "%25", "\r": "%0D", "\n": "%0A"}
_PROPERTY: Final = {**_MESSAGE, ":": "%3A", ",": "%2C"}


@file_format("github", "")
def render_github(report: CheckReport) -> str:
    """Return a command for each limit that is not kept, failures first, and one for the verdict."""
    lines = []
    order = {"fail": 0, "inconclusive": 1, "pass": 2}
    for entry in sorted(report.checks, key=lambda e: order[e.outcome]):
        if entry.outcome == "pass":
            continue
        kind = "error" if entry.outcome == "fail" or not report.passed else "warning"
        text = f"{entry.name}: {entry.message}" + (f"; try: {entry.hint}" if entry.hint else "")
        lines.append(_command(report, kind, text, entry.name))
    counts = [sum(e.outcome == kind for e in report.checks) for kind in order]
    verdict = "passed" if report.passed else "did not pass"
    told = f"{verdict}: {counts[2]} kept, {counts[0]} failed, {counts[1]} inconclusive"
    lines.append(_command(report, "notice", told, "onnxprune check"))
    return "\n".join(lines) + "\n"


def _command(report: CheckReport, kind: str, text: str, title: str) -> str:
    file = _escaped(relative_uri(report.pruned.path), _PROPERTY)
    return f"::{kind} file={file},title={_escaped(title, _PROPERTY)}::{_escaped(text, _MESSAGE)}"


def _escaped(text: str, table: dict[str, str]) -> str:
    inert = shown(text).replace("##[", "#\\x23[")
    return "".join(table.get(c, c) for c in inert)
