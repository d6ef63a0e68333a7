"""JSON: the report itself, ASCII, versioned; `onnxprune schema check` prints its schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxprune.gate.formats.registry import file_format

if TYPE_CHECKING:
    from onnxprune.gate.document import CheckReport


@file_format("json", "onnxprune-check.json")
def render_json(report: CheckReport) -> str:
    """Return the report as it is."""
    return report.to_json()
