"""JSON for github-action-benchmark (`customSmallerIsBetter`), to draw values over commits.

Only values of which less is better are in it; ratios, never milliseconds, for those of another
machine mean nothing here.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from onnxprune.gate.entries import number
from onnxprune.gate.formats.registry import file_format, shown

if TYPE_CHECKING:
    from onnxprune.gate.document import CheckReport


@file_format("benchmark", "onnxprune-check.benchmark.json")
def render_benchmark(report: CheckReport) -> str:
    """Return the values as a list."""
    entries = []
    for entry in report.checks:
        if entry.better != "smaller" or not isinstance(entry.value, int | float):
            continue
        found: dict[str, object] = {
            "name": shown(entry.name),
            "unit": entry.unit or "value",
            "value": entry.value,
        }
        if entry.ci95 is not None:
            found["range"] = f"{number(entry.ci95[0])} to {number(entry.ci95[1])}"
        found["extra"] = f"limit {number(entry.limit)}, {entry.outcome}"
        entries.append(found)
    return json.dumps(entries, indent=1) + "\n"
