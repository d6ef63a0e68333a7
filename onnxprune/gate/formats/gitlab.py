"""GitLab: a code quality report, and metrics in the OpenMetrics text format."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from onnxprune.gate.formats.registry import file_format, shown

if TYPE_CHECKING:
    from onnxprune.gate.document import CheckReport

_SEVERITIES = {"fail": "blocker", "inconclusive": "major"}


@file_format("gitlab", "gl-code-quality-report.json")
def render_code_quality(report: CheckReport) -> str:
    """Return a finding for each limit that is not kept."""
    path = shown(_relative(report.pruned.path))
    findings = [
        {
            "description": shown(f"{entry.name}: {entry.message}"),
            "check_name": shown(entry.name),
            "fingerprint": hashlib.sha256(f"{path}\n{entry.name}".encode()).hexdigest(),
            "severity": _SEVERITIES[entry.outcome],
            "location": {"path": path, "lines": {"begin": 1}},
        }
        for entry in report.checks
        if entry.outcome != "pass"
    ]
    return json.dumps(findings, indent=1) + "\n"


def _relative(path: str) -> str:
    place = Path(path)
    below = place.is_absolute() and place.is_relative_to(Path.cwd())
    return (place.relative_to(Path.cwd()) if below else place).as_posix()


@file_format("gitlab-metrics", "metrics.txt")
def render_metrics(report: CheckReport) -> str:
    """Return what was measured, and whether all is well."""
    lines = [
        "# TYPE onnxprune_check gauge",
        *(
            f'onnxprune_check{{limit="{_label(entry.name)}"}} {float(entry.value)!r}'
            for entry in report.checks
            if isinstance(entry.value, int | float)
        ),
        "# TYPE onnxprune_check_passed gauge",
        f"onnxprune_check_passed {int(report.passed)}",
        "# EOF",
    ]
    return "\n".join(lines) + "\n"


def _label(text: str) -> str:
    return shown(text).replace("\\", "\\\\").replace('"', '\\"')
