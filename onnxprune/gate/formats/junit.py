"""JUnit XML, as Jenkins, GitLab, Azure and others read it: a test case for each limit.

The elements and attributes are those of the schema of Jenkins' xUnit plug-in (junit-10.xsd). What
is inconclusive is a failure of that type, or skipped where it was asked to pass; elements for
errors are not used, because their name differs between schemas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from onnxprune.gate.formats.registry import file_format, shown

if TYPE_CHECKING:
    from onnxprune.gate.document import CheckEntry, CheckReport


@file_format("junit", "onnxprune-check.junit.xml")
def render_junit(report: CheckReport) -> str:
    """Return a test suite."""
    cases = [_case(report, entry) for entry in report.checks]
    kinds = [kind for kind, _ in cases]
    totals = f'tests="{len(cases)}" failures="{kinds.count("failure")}" errors="0"'
    path, time = report.pruned.path, f'time="{report.seconds:.3f}"'
    suite = f'name={_quoted(f"onnxprune check {path}")} {totals} skipped="{kinds.count("skipped")}"'
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<testsuites name="onnxprune check" {totals} {time}>',
        f"<testsuite {suite} {time}>",
        *(case for _, case in cases),
        "</testsuite>",
        "</testsuites>",
    ]
    return "\n".join(lines) + "\n"


def _case(report: CheckReport, entry: CheckEntry) -> tuple[str, str]:
    """Return which element says how it ended (none for a pass), and the case."""
    start = f'<testcase classname="onnxprune.check" name={_quoted(entry.name)} time="0"'
    if entry.outcome == "pass":
        return "", f"{start}><system-out>{_escaped(entry.message)}</system-out></testcase>"
    told = f"message={_quoted(entry.message)}"
    if report.passed:
        return "skipped", f"{start}><skipped {told}/></testcase>"
    text = entry.message + (f"; try: {entry.hint}" if entry.hint else "")
    told = f'type="{entry.outcome}" {told}'
    return "failure", f"{start}><failure {told}>{_escaped(text)}</failure></testcase>"


def _escaped(text: str) -> str:
    return escape(shown(text))


def _quoted(text: str) -> str:
    return quoteattr(shown(text))
