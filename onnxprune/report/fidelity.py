"""Tables of how near a pruned model stays to its original."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxprune.report.tables import plain_table, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from onnxprune.fidelity import Fidelity, MetricChange, SearchStep


def fidelity_table(fidelity: Fidelity) -> Table:
    """Return the table of every output."""
    table = plain_table(
        f"Outputs on {fidelity.samples} samples that were held back",
        "output", "relative error", "cosine", "same top class", "KL, nats",
        right=("relative error", "cosine", "same top class", "KL, nats"),
    )  # fmt: skip
    for output in fidelity.outputs:
        agreement = output.equal if output.top1_agreement is None else output.top1_agreement
        note = ", other shapes" if output.reshaped else ", other NaN" if output.nonfinite else ""
        table.add_row(
            shown(output.output) + note,
            _number(output.relative_error, "{:.3f}"), _number(output.cosine, "{:.4f}"),
            _number(agreement, "{:.1%}").replace("%", " %"), _number(output.kl, "{:.3g}"),
        )  # fmt: skip
    return table


def metric_table(metric: MetricChange) -> Table:
    """Return the table of the user's metric."""
    table = plain_table("Metric", "", "before", "after", "change", right=("before", "after"))
    table.add_row(
        shown(metric.name), f"{metric.before:.6g}", f"{metric.after:.6g}", f"{-metric.drop:+.6g}"
    )
    return table


def search_table(steps: Sequence[SearchStep]) -> Table:
    """Return the table of the trials of a search."""
    table = plain_table("Search", "MACs to remove", "drop", "", right=("MACs to remove", "drop"))
    for step in steps:
        verdict = "within" if step.kept else "too much" if step.drop is not None else "out of reach"
        table.add_row(f"{step.remove_macs:.1%}", _number(step.drop, "{:.4f}"), verdict)
    return table


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)
