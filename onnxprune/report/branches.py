"""The table of residual branches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxprune.report.tables import percent, plain_table, shown

if TYPE_CHECKING:
    from rich.table import Table

    from onnxprune.report.models import AnalysisReport

_MOST = 12


def branch_table(report: AnalysisReport) -> Table:
    """Return the table of branches that can leave as wholes, the first dozen of them."""
    branches, totals = report.branches, report.totals
    table = plain_table(
        f"Residual branches: {len(branches)}", "branch", "added at", "nodes", "params", "MACs",
        right=("nodes", "params", "MACs"),
    )  # fmt: skip
    for branch in branches[:_MOST]:
        table.add_row(
            branch.id, shown(branch.node), str(len(branch.nodes)),
            percent(branch.params, totals.params.total), percent(branch.macs, totals.macs.total),
        )  # fmt: skip
    if len(branches) > _MOST:
        table.add_row("...", f"and {len(branches) - _MOST} more")
    return table
