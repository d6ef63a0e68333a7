"""The document that `check` writes, and every other format is made from."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import Field

from onnxprune.bench.document import BenchReport  # noqa: TC001  # pydantic reads annotations
from onnxprune.report.document import TOOL, Document

__all__ = ["CheckEntry", "CheckFile", "CheckReport", "CheckValue", "Outcome"]

Outcome: TypeAlias = Literal["pass", "fail", "inconclusive"]
CheckValue: TypeAlias = float | int | str | list[str]


class CheckEntry(Document):
    """One limit and what was measured.

    Attributes:
        name: key of the limit, with the provider in brackets where there is one for each.
        limit: the limit.
        value: what was measured, null when nothing could be.
        ci95: interval of the value, null where it has none.
        outcome: what that means.
        better: whether small or large values are good, null for what is no number.
        unit: unit of the value.
        message: limit and value in words.
        hint: what to try, empty where there is nothing.
    """

    name: str
    limit: CheckValue
    value: CheckValue | None
    ci95: tuple[float, float] | None = None
    outcome: Outcome
    better: Literal["smaller", "larger"] | None = None
    unit: str = ""
    message: str
    hint: str = ""

    @property
    def measured(self) -> bool:
        """Whether there is a value; without one, nothing makes the check pass."""
        return self.value is not None


class CheckFile(Document):
    """A model that was checked, or checked against."""

    path: str
    sha256: str
    bytes: int


class CheckReport(Document):
    """What `check --format json` writes.

    Attributes:
        passed: whether every limit is kept to.
        status: exit status of the command: 0, 1 or 3.
        pruned: the model.
        baseline: the original, null where no limit speaks of it.
        config: the file that limits came from, null without one.
        on_inconclusive: what was asked for.
        checks: one entry for each limit, and for each provider.
        skipped: limits that were left out because `--static` was asked for.
        notes: what the user should know.
        bench: the measurements of latency, the last for each provider.
        seconds: how long it took.
    """

    format: Literal["onnxprune.check/1"] = "onnxprune.check/1"
    tool: str = TOOL
    passed: bool
    status: Literal[0, 1, 3]
    pruned: CheckFile
    baseline: CheckFile | None
    config: str | None
    on_inconclusive: Literal["pass", "fail"] | None
    checks: list[CheckEntry]
    skipped: list[str] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)
    bench: list[BenchReport] = Field(default_factory=list)
    seconds: float
