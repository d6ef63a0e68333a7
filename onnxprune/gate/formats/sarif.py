"""SARIF 2.1.0 (OASIS), for code scanning: a rule for each limit, a result for each not kept."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from onnxprune.config import Limits
from onnxprune.config.section import hyphenated
from onnxprune.gate.formats.registry import file_format, shown
from onnxprune.version import __version__

if TYPE_CHECKING:
    from onnxprune.gate.document import CheckEntry, CheckReport

__all__ = ["relative_uri"]

_SCHEMA: Final = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)


@file_format("sarif", "onnxprune-check.sarif")
def render_sarif(report: CheckReport) -> str:
    """Return a log with one run."""
    names = list(dict.fromkeys(_rule(entry) for entry in report.checks))
    descriptions = {hyphenated(n): f.description or n for n, f in Limits.model_fields.items()}
    rules = [
        {"id": name, "name": name, "shortDescription": {"text": _text(descriptions[name])}}
        for name in names
    ]
    results = [
        _result(report, entry, names.index(_rule(entry)))
        for entry in report.checks
        if entry.outcome != "pass"
    ]
    run = {
        "tool": {"driver": {"name": "onnxprune", "semanticVersion": __version__, "rules": rules}},
        "invocations": [{"executionSuccessful": True, "exitCode": report.status}],
        "columnKind": "unicodeCodePoints",
        "results": results,
    }
    log = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=1) + "\n"


def _rule(entry: CheckEntry) -> str:
    return entry.name.partition("[")[0]


def _result(report: CheckReport, entry: CheckEntry, rule: int) -> dict[str, Any]:
    text = f"{entry.name}: {entry.message}" + (f". Try: {entry.hint}" if entry.hint else "")
    level = "error" if entry.outcome == "fail" or not report.passed else "warning"
    place = f"{report.pruned.path}\n{entry.name}"
    return {
        "ruleId": _rule(entry),
        "ruleIndex": rule,
        "level": level,
        "message": {"text": _text(text)},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": relative_uri(report.pruned.path)},
                    # Code scanning shows nothing without a line, though a model has none.
                    "region": {"startLine": 1},
                }
            }
        ],
        "partialFingerprints": {"limit/v1": hashlib.sha256(place.encode()).hexdigest()},
    }


def _text(text: str) -> str:
    """Return a message in which nothing is a link or a placeholder (3.11.5 and 3.11.6)."""
    for plain, escaped in (("{", "{{"), ("}", "}}"), ("[", "\\["), ("]", "\\]")):
        text = text.replace(plain, escaped)
    return shown(text)


def relative_uri(path: str) -> str:
    """Return a path as a URI reference, relative to the working directory where it is below.

    Examples:
        >>> relative_uri("models/a b.onnx")
        'models/a%20b.onnx'
    """
    place = Path(path)
    if not place.is_absolute():
        # A colon in the first part would make it a scheme.
        return quote(place.as_posix(), safe="/")
    below = Path.cwd()
    if place.is_relative_to(below):
        return quote(place.relative_to(below).as_posix(), safe="/")
    return "file://" + quote(place.as_posix(), safe="/")
