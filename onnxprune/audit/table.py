"""An audit as tables for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from onnxprune.errors import printable
from onnxprune.report.tables import plain_table, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from onnxprune.audit.document import AuditReport, Exemplar, GroupEntry

__all__ = ["audit_tables", "verdict"]

_MOST_GROUPS: Final = 20
_MOST_SAMPLES: Final = 10


def audit_tables(report: AuditReport) -> list[RenderableType]:
    """Return tables of classes, subgroups, corruptions and samples, and sentences.

    Args:
        report: the audit.
    """
    parts: list[RenderableType] = []
    for title, column, entries in (
        ("Classes", "class", report.classes),
        ("Subgroups", "subgroup", report.groups),
    ):
        if entries:
            parts.append(_groups(title, column, entries))
        if len(entries) > _MOST_GROUPS:
            parts.append(f"  {len(entries) - _MOST_GROUPS} more lost less; --json has all.")
    if report.robustness:
        parts.append(_corruptions(report))
    if report.exemplars:
        parts.append(_samples(report.exemplars[:_MOST_SAMPLES]))
    return [*parts, "\n".join(_sentences(report))]


def _groups(title: str, column: str, entries: Sequence[GroupEntry]) -> Table:
    numbers = ("samples", "before", "after", "excess drop", "95 % interval", "p (Holm)", "changed")
    table = plain_table(title, column, *numbers, "", right=numbers)
    for e in sorted(entries, key=lambda e: (-e.excess, e.p_holm))[:_MOST_GROUPS]:
        low, high = e.excess_ci95
        table.add_row(
            shown(e.name), str(e.samples), f"{e.accuracy.before:.3f}", f"{e.accuracy.after:.3f}",
            f"{e.excess:+.3f}", f"{low:+.3f} to {high:+.3f}", f"{e.p_holm:.3g}", str(e.exemplars),
            "hurt" if e.hurt else "",
        )  # fmt: skip
    return table


def _corruptions(report: AuditReport) -> Table:
    numbers = ("severity", "before", "after", "drop")
    table = plain_table("Accuracy on corrupted samples", "corruption", *numbers, right=numbers)
    for e in report.robustness:
        accuracy = e.accuracy
        table.add_row(
            e.corruption, str(e.severity), f"{accuracy.before:.3f}", f"{accuracy.after:.3f}",
            f"{accuracy.drop:+.3f}",
        )  # fmt: skip
    return table


def _samples(exemplars: Sequence[Exemplar]) -> Table:
    numbers = ("sample", "sure before", "sure after", "flips in")
    columns = ("sample", "label", "before", "after", *numbers[1:])
    table = plain_table("Samples whose answer changed", *columns, right=numbers)
    for e in exemplars:
        table.add_row(
            str(e.sample), shown(e.label), shown(e.before), shown(e.after),
            f"{e.confidence_before:.2f}", f"{e.confidence_after:.2f}", _percent(e.flip_share),
        )  # fmt: skip
    return table


def _sentences(report: AuditReport) -> list[str]:
    accuracy, ece = report.accuracy, report.calibration
    low, high = accuracy.ci95 or (accuracy.drop, accuracy.drop)
    models = 1 + len(report.variants) + report.replicas
    lost = f"{len(report.exemplars)} of {report.samples} samples are pruning-identified"
    lost += f": most of {models} pruned models answer otherwise" if models > 1 else ""
    fell = f"{accuracy.before:.4f} -> {accuracy.after:.4f}, a drop of {accuracy.drop:+.4f}"
    return [
        f"accuracy {fell} ({low:+.4f} to {high:+.4f}) on {report.samples} samples",
        f"calibration error {ece.before:.4f} -> {ece.after:.4f}",
        f"{_percent(report.flipped)} of the answers changed; {lost}",
        verdict(report),
    ]


def verdict(report: AuditReport) -> str:
    """Return in a sentence whom pruning hurt more than others.

    Args:
        report: the audit.
    """
    if not report.hurt:
        return f"no class or subgroup lost more than others, at the level {report.level:g}"
    names = [f"{printable(e.name, limit=40)} ({e.excess:+.3f})" for e in report.hurt]
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return f"hurt more than others, at the level {report.level:g}: {', '.join(names[:10])}{more}"


def _percent(share: float) -> str:
    return f"{share:.1%}".replace("%", " %")
