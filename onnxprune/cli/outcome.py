"""Show what was done to a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxprune.cli.console import note, show
from onnxprune.report.tables import prune_table

if TYPE_CHECKING:
    from onnxprune.report.models import PruneReport


def show_outcome(report: PruneReport) -> None:
    """Print the table of before and after, and what is worth a note."""
    show(prune_table(report))
    for text in report.notes:
        note(text)
