"""Tables for people. Names from models are escaped, and shortened to what tells them apart."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from onnxprune.errors import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onnxprune.report.demo import DemoReport
    from onnxprune.report.listing import PluginsReport, RulesReport
    from onnxprune.report.models import (
        AnalysisReport,
        FrozenEntry,
        GroupEntry,
        PruneReport,
        SliceEntry,
        VerifyReport,
        WhyEntry,
    )

_NAME_WIDTH = 44
_REASON_WIDTH = 70
_MOST_REASONS = 12
_NUMBERED = re.compile(r"(onnx::\w+||const\w*|p2o\.helper\.\w+|helper\.\w+)[._]?\d+$")
"""Names that exporters give to weights they folded; the node that reads them tells more."""

_KINDS = {"channels": "channels", "rows": "whole rows"}


def plain_table(title: str, *columns: str, right: Sequence[str] = ()) -> Table:
    """Return an empty table in the style of all tables."""
    table = Table(title=Text(title), title_justify="left", title_style="bold", box=box.SIMPLE)
    for column in columns:
        table.add_column(
            column, justify="right" if column in right else "left", no_wrap=column in right
        )
    return table


def shown(text: object, width: int = _NAME_WIDTH) -> Text:
    """Return text from a model, safe to show and cut in the middle to a width."""
    return Text(printable(text, limit=width))


def count(number: float) -> str:
    """Return a number in the way people read it.

    Examples:
        >>> count(999), count(12_345), count(1_814_073_344)
        ('999', '12.3 k', '1.81 G')
    """
    for unit, name in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= unit * 0.9995:
            return f"{number / unit:.3g} {name}"
    return f"{number:g}"


def percent(part: float, whole: float) -> str:
    """Return a share."""
    share = part / whole if whole else 0.0
    return "-" if part == 0 else "<0.1 %" if share < 0.001 else f"{share:.1%}".replace("%", " %")


def group_table(report: AnalysisReport, *, most: int | None = None) -> Table:
    """Return the table of coupled groups.

    Args:
        report: the analysis.
        most: how many groups to show at most, those on which most parameters depend; None for all.
    """
    groups = report.groups
    if most is not None and len(groups) > most:
        largest = sorted(groups, key=lambda g: -g.params)[:most]
        groups = [g for g in report.groups if g in largest]
    table = plain_table(
        "Coupled groups", "group", "kind", "size", "where", "params", "MACs", "removal",
        right=("size", "params", "MACs"),
    )  # fmt: skip
    totals = report.totals
    for group in groups:
        table.add_row(
            group.id, _KINDS[group.kind], str(group.size), where(group),
            percent(group.params, totals.params.total), percent(group.macs, totals.macs.total),
            "exact" if group.exact else "approximate",
        )  # fmt: skip
    return table


def where(group: GroupEntry) -> Text:
    """Say where a group is: what makes its channels, and what reads them."""
    made = _names([s for s in group.slices if not s.consumed])
    read = _names([s for s in group.slices if s.consumed])
    return Text(" -> ".join(p for p in (made, read) if p))


def _names(slices: Sequence[SliceEntry]) -> str:
    names = list(dict.fromkeys(s.initializer for s in slices))
    if not names:
        return ""
    telling = next((n for n in names if not _NUMBERED.match(n)), slices[0].node or names[0])
    rest = f" +{len(names) - 1}" if len(names) > 1 else ""
    return printable(telling, limit=_NAME_WIDTH) + rest


def total_table(report: AnalysisReport) -> Table:
    """Return the table of what could leave at most."""
    table = plain_table(
        "What could leave",
        "",
        "params",
        "share",
        "MACs",
        "share",
        right=("params", "share", "MACs"),
    )
    params, macs = report.totals.params, report.totals.macs
    rows = (
        ("all", params.total, macs.total),
        ("prunable exactly", params.prunable, macs.prunable),
        ("prunable approximately", params.approximate, macs.approximate),
        ("frozen", params.frozen, macs.frozen),
    )
    for name, number, work in rows:
        table.add_row(
            name, count(number), percent(number, params.total), count(work),
            percent(work, macs.total),
        )  # fmt: skip
    return table


def frozen_table(report: AnalysisReport) -> Table:
    """Return the table of reasons why something stays, those that hold back most first."""
    table = plain_table(
        "What stays, and why", "params", "MACs", "channels", "operator", "reason", "first at",
        right=("params", "MACs", "channels"),
    )  # fmt: skip
    params, macs = report.totals.params, report.totals.macs
    for entries in _by_reason(report.frozen)[:_MOST_REASONS]:
        first = entries[0]
        table.add_row(
            percent(min(params.frozen, sum(e.params for e in entries)), params.total),
            percent(min(macs.frozen, sum(e.macs for e in entries)), macs.total),
            str(sum(e.channels for e in entries)),
            shown(first.op or "-", 24),
            Text(printable(_generic(first), limit=_REASON_WIDTH)),
            shown(first.node or first.value),
        )
    return table


def _by_reason(frozen: Sequence[FrozenEntry]) -> list[list[FrozenEntry]]:
    """Put entries together that differ in their place only; drop what holds back nothing."""
    found: dict[tuple[str, str], list[FrozenEntry]] = {}
    for entry in frozen:
        if entry.params or entry.macs:
            found.setdefault((entry.op, _generic(entry)), []).append(entry)
    return sorted(
        found.values(), key=lambda es: (-sum(e.params for e in es), -sum(e.macs for e in es))
    )


def _generic(entry: FrozenEntry) -> str:
    """Return a reason without the name of the value that it speaks of."""
    text = re.sub(r"^meets .* (that|without) ", r"meets a value \1 ", entry.reason)
    return re.sub(r" '[^']*'$", "", text)


def approximate_reasons(report: AnalysisReport) -> list[tuple[str, int]]:
    """Return why groups are approximate, with the number of groups."""
    return Counter(g.reason for g in report.groups if not g.exact).most_common()


def why_table(entry: WhyEntry) -> Table:
    """Return the table that explains a value."""
    title = f"{entry.kind} '{printable(entry.value)}'"
    table = plain_table(
        title, "axis", "size", "indices", "what holds", right=("axis", "size", "indices")
    )
    for axis in entry.axes:
        lines: list[tuple[str, str]] = []
        for group, number in axis.groups.items():
            reason = axis.approximate.get(group)
            how = f"only approximately: {reason}" if reason else "can leave"
            lines.append((str(number), f"group {group}, {how}"))
        for held in axis.frozen:
            at = f" ({held.node})" if held.node else ""
            lines.append((str(held.count), f"frozen: {held.reason}{at}"))
        if axis.note or not lines:
            lines.append(("", axis.note or entry.note))
        for number, (amount, text) in enumerate(lines):
            table.add_row(
                str(axis.axis) if not number else "",
                ("?" if axis.size is None else str(axis.size)) if not number else "",
                amount, Text(printable(text, limit=300)),
            )  # fmt: skip
    return table


def before_after_table(title: str, rows: Sequence[tuple[str, str, str, str]]) -> Table:
    """Return a table of (what, before, after, change)."""
    table = plain_table(title, "", "before", "after", "change", right=("before", "after", "change"))
    for row in rows:
        table.add_row(*row)
    return table


def predicted(times: Mapping[str, float]) -> tuple[str, str, str]:
    """Return predicted times as text: before, after, and beside them other ways to write it."""
    others = ("constrained", "naive", "upscale")
    shares = [f"{name} {times[name] / times['original']:.2f}" for name in others]
    return "1", f"{times['written'] / times['original']:.2f}", ", ".join(shares)


def change(before: float, after: float) -> str:
    """Return a change as a share of what was there."""
    return f"{after / before - 1:+.1%}".replace("%", " %") if before else "-"


def prune_table(report: PruneReport) -> Table:
    """Return the table of a pruned model, before and after."""
    first, second = report.input, report.output
    table = before_after_table(
        "Pruned",
        [
            ("parameters", count(first.params), count(second.params),
             change(first.params, second.params)),
            ("MACs", count(first.macs), count(second.macs), change(first.macs, second.macs)),
            ("bytes", count(first.bytes), count(second.bytes), change(first.bytes, second.bytes)),
            ("nodes", str(first.nodes), str(second.nodes), change(first.nodes, second.nodes)),
        ],
    )  # fmt: skip
    groups = f"{report.groups_pruned} of {report.groups_pruned + report.groups_kept}"
    table.add_row("groups pruned", "", groups, "")
    if report.branches_removed:
        table.add_row("branches removed", "", str(len(report.branches_removed)), "")
    table.add_row("places frozen", "", str(report.groups_frozen), "")
    if report.copies is not None:
        copies = report.copies
        made = f"{copies.slices} Slice, {copies.gathers} Gather"
        table.add_row("copies added", "", made, f"{copies.avoided} avoided")
        less = "less" if copies.bytes_avoided >= 0 else "more"
        avoided = f"{count(abs(copies.bytes_avoided))} {less}"
        table.add_row("bytes copied", "", count(copies.bytes), avoided)
        if copies.predicted_us:
            table.add_row("time, predicted", *predicted(copies.predicted_us))
    elif report.predicted_us:
        before, after = report.predicted_us["original"], report.predicted_us["written"]
        table.add_row("time on CPU, predicted", "1", f"{after / before:.2f}", change(before, after))
    table.add_row("verified", "", verdict(report), "")
    if report.latency is not None:
        low, high = report.latency.ci95
        table.add_row("time of a run", "", f"{low:.3f} to {high:.3f} of the original's", "")
    table.add_row("seconds", "", f"{report.seconds['total']:.2f}", "")
    for stage, seconds in report.seconds.items():
        _, dot, part = stage.partition(".")
        if dot:
            table.add_row(f"  {part}", "", f"{seconds:.2f}", "")
    return table


def verdict(report: PruneReport) -> str:
    """Say in a few words what verification found."""
    verified = report.verified
    if verified is None:
        return "not verified"
    error = "not finite" if verified.max_rel is None else f"{verified.max_rel:.1e}"
    if verified.exact:
        return f"exact, error {error}"
    return f"approximate, differs by {error}"


def verify_lines(report: VerifyReport) -> list[str]:
    """Say what a check of two files found, and what exactly was compared."""
    lines = [
        f"{'passed' if report.passed else 'FAILED'}: {printable(report.pruned)}",
        f"  compared with: {_COMPARED[report.plan]}",
    ]
    if report.feeds:
        size = "not finite" if report.max_rel is None else f"{report.max_rel:.1e}"
        lines.append(
            f"  largest difference: {size} of an output's largest value, over {report.feeds} inputs"
        )
    lines += [f"  {failure}" for failure in report.failures[:_MOST_REASONS]]
    return lines


_COMPARED = {
    "given": "the original with the channels silenced that the plan removes",
    "reconstructed": "the original with the channels silenced that are missing from the weights",
    None: "the original as it is, in shapes, types and finiteness only: its weights could not be "
    "matched with slices of the original's, so a plan is needed to judge values",
}


def demo_table(report: DemoReport) -> Table:
    """Return the table of the demonstration, before and after."""
    first, second = report.before, report.after
    points = (second.accuracy - first.accuracy) * 100
    return before_after_table(
        "The digits model, before and after",
        [
            ("parameters", count(first.params), count(second.params),
             change(first.params, second.params)),
            ("MACs", count(first.macs), count(second.macs), change(first.macs, second.macs)),
            ("bytes", count(first.bytes), count(second.bytes), change(first.bytes, second.bytes)),
            ("accuracy", percent(first.accuracy, 1), percent(second.accuracy, 1),
             f"{points:+.1f} points"),
            ("latency", f"{first.latency_ms:.2f} ms", f"{second.latency_ms:.2f} ms",
             change(first.latency_ms, second.latency_ms)),
        ],
    )  # fmt: skip


_MOST_NAMES = 8


def plugin_table(report: PluginsReport) -> Table:
    """Return the installed plug-ins."""
    table = plain_table("Plug-ins", "package", "version", "extends", "status", "adds")
    for entry in report.plugins:
        adds = " ".join(entry.registered)
        if len(entry.registered) > _MOST_NAMES:
            adds = f"{len(entry.registered)} operators or methods"
        status = f"{entry.status}: {entry.error}" if entry.error else entry.status
        name = entry.group.partition(".")[2]
        table.add_row(entry.distribution, entry.version, name, status, adds or "-")
    return table


def rule_table(report: RulesReport) -> Table:
    """Return the operators that have a rule, by family."""
    table = plain_table("Operators that the analysis understands", "family", "operators")
    families: dict[str, list[str]] = {}
    for entry in report.rules:
        name = entry.op if entry.domain == "ai.onnx" else f"{entry.domain}::{entry.op}"
        families.setdefault(entry.module.rpartition(".")[2], []).append(name)
    for family in sorted(families):
        table.add_row(family, " ".join(dict.fromkeys(families[family])))
    return table
