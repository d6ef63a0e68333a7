"""The document that `diff --json` writes; fields may be added, never renamed."""

from __future__ import annotations

from typing import Literal

from onnxprune.report.document import TOOL, Document

__all__ = ["Change", "DiffReport"]


class Change(Document):
    """One thing that is not the same.

    Attributes:
        what: kind of thing: `weight`, `node`, `input`, `group`, `setting`, ...
        name: its name, empty for what there is one of.
        before: what the first file has, null for nothing.
        after: what the second file has, null for nothing.
    """

    what: str
    name: str
    before: str | None
    after: str | None


class DiffReport(Document):
    """What `diff --json` writes.

    Attributes:
        kind: what was compared.
        same: whether nothing differs but the bytes on disk.
        summary: the differences in words.
        changes: one by one.
    """

    format: Literal["onnxprune.diff/1"] = "onnxprune.diff/1"
    tool: str = TOOL
    first: str
    second: str
    kind: Literal["models", "plans"]
    same: bool
    summary: list[str]
    changes: list[Change]
