"""Show what was done to a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxprune.cli.console import note, show
from onnxprune.report.fidelity import fidelity_table, metric_table, search_table
from onnxprune.report.tables import prune_table

if TYPE_CHECKING:
    from onnxprune.report.models import PruneReport


def show_outcome(report: PruneReport) -> None:
    """Print the table of before and after, and what is worth a note."""
    tables = [prune_table(report)]
    if report.fidelity is not None:
        tables.append(fidelity_table(report.fidelity))
    if report.metric is not None:
        tables.append(metric_table(report.metric))
    if report.search is not None:
        tables.append(search_table(report.search))
    show(*tables)
    for text in report.notes:
        note(text)
