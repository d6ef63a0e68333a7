"""The table of operators: what can be pruned through each, from the registered rules.

Run `python -m onnxprune.rules.table --write` after a rule was added or changed; `--check` tells
whether the file is up to date.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import onnx

import onnxprune.rules  # noqa: F401 - registers the rules
from onnxprune.core.registry import RULES, UPDATES
from onnxprune.rules.opaque import REASONS
from onnxprune.rules.shape import HANDLED

if TYPE_CHECKING:
    from collections.abc import Sequence

OLDEST_OPSET = 7
DOCUMENT = Path(__file__).parents[2] / "docs" / "operators.md"

_HEAD = """# Operators

What can be pruned through each operator of the `ai.onnx` domain, for opsets {oldest} to {newest}.
A version is the opset in which a form of the operator came into force. What is not named here
passes nothing: its inputs keep all their channels, and `onnxprune analyze` says so.

This page is generated: `python -m onnxprune.rules.table --write`.

| Operator | Versions | What can be pruned through it | What a cut changes in the node | Family |
|---|---|---|---|---|
"""


class Row(NamedTuple):
    """One line of the table.

    Attributes:
        op: operator type.
        versions: schema versions that one rule serves.
        passes: what the rule says about itself.
        changes: what the update says about itself, "" when nothing changes.
        family: module of the rule.
    """

    op: str
    versions: tuple[int, ...]
    passes: str
    changes: str
    family: str


def versions_in_force(op: str) -> list[int]:
    """Return the versions of an operator that an opset from `OLDEST_OPSET` on uses."""
    found = set()
    for opset in range(OLDEST_OPSET, onnx.defs.onnx_opset_version() + 1):
        if onnx.defs.has(op, opset):
            schema = onnx.defs.get_schema(op, opset)
            if not schema.deprecated:
                found.add(schema.since_version)
    return sorted(found)


def live_operators() -> list[str]:
    """Return the operators of ai.onnx that some opset from `OLDEST_OPSET` on has."""
    names = {s.name for s in onnx.defs.get_all_schemas_with_history() if s.domain == ""}
    return sorted(n for n in names if versions_in_force(n))


def undecided() -> list[tuple[str, int]]:
    """Return the operators and versions that have neither a rule nor a reason."""
    return [
        (op, version)
        for op in live_operators()
        if op not in HANDLED
        for version in versions_in_force(op)
        if RULES.lookup(op, "", version) is None
    ]


def rows() -> list[Row]:
    """Return the table; versions that the same rule and update serve share a row."""
    found: list[Row] = []
    for op in live_operators():
        groups: dict[tuple[str, str, str], list[int]] = {}
        for version in versions_in_force(op):
            groups.setdefault(_describe(op, version), []).append(version)
        found += [Row(op, tuple(v), *text) for text, v in groups.items()]
    return found


def _describe(op: str, version: int) -> tuple[str, str, str]:
    if op in HANDLED:
        return HANDLED[op], "", "shape"
    rule = RULES.lookup(op, "", version)
    if rule is None:
        return "Nothing: no rule.", "", ""
    family = rule.__module__.rpartition(".")[2]
    if family == "opaque":
        return f"Nothing: {REASONS[op]}.", "", family
    update = UPDATES.lookup(op, "", version)
    return _first_line(rule), _first_line(update) if update else "", family


def _first_line(function: object) -> str:
    return (function.__doc__ or "").strip().partition("\n")[0]


def document() -> str:
    """Return the page."""
    newest = onnx.defs.onnx_opset_version()
    lines = [
        f"| {r.op} | {', '.join(map(str, r.versions))} | {r.passes} | {r.changes} | {r.family} |\n"
        for r in rows()
    ]
    return _HEAD.format(oldest=OLDEST_OPSET, newest=newest) + "".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, or check it; returns the exit code."""
    parser = argparse.ArgumentParser(description="The table of operators in docs/operators.md.")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="write the page")
    action.add_argument("--check", action="store_true", help="fail when the page is out of date")
    chosen = parser.parse_args(arguments)
    if chosen.write:
        DOCUMENT.parent.mkdir(exist_ok=True)
        DOCUMENT.write_text(document(), encoding="utf-8")
        return 0
    fresh = DOCUMENT.is_file() and DOCUMENT.read_text(encoding="utf-8") == document()
    if not fresh:
        sys.stderr.write(
            f"{DOCUMENT.name} is out of date: python -m onnxprune.rules.table --write\n"
        )
    return 0 if fresh else 1


if __name__ == "__main__":
    sys.exit(main())
