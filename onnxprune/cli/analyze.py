"""`onnxprune analyze`: what could leave, what stays, and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from onnxprune.cli.options import debug_option, dims_option, json_option, model_argument

if TYPE_CHECKING:
    from rich.console import RenderableType

    from onnxprune.report.models import AnalysisReport


@click.command()
@model_argument
@json_option
@click.option(
    "--graph", type=click.Path(path_type=Path), metavar="FILE.graphml|.dot",
    help="Write the dependency graph.",
)  # fmt: skip
@click.option("--why", metavar="VALUE", help="Explain one value or initializer, axis by axis.")
@dims_option
@debug_option
def analyze(
    model: Path, json_path: Path | None, graph: Path | None, why: str | None, dims: dict[str, int]
) -> None:
    """Show what could leave a model, what stays, and why.

    Reads MODEL and changes nothing.
    """
    from onnxprune import pipeline  # noqa: PLC0415  # not for --help
    from onnxprune.cli.console import STDOUT, show, write_document  # noqa: PLC0415
    from onnxprune.cli.progress import showing_progress  # noqa: PLC0415
    from onnxprune.io.outfile import check_destination  # noqa: PLC0415
    from onnxprune.report.analysis import report_analysis  # noqa: PLC0415
    from onnxprune.report.network import check_format, render_network  # noqa: PLC0415
    from onnxprune.report.tables import why_table  # noqa: PLC0415
    from onnxprune.report.why import explain  # noqa: PLC0415
    from onnxprune.stages import Stages  # noqa: PLC0415

    if graph is not None:
        check_format(graph)
    with showing_progress() as progress:
        stages = Stages(progress)
        with stages.stage("load"):
            source = pipeline.load(model)
        for path in (json_path, graph):
            if path is not None and path != STDOUT:
                check_destination(path, source.identities)
        with stages.stage("analyze"):
            analysis = pipeline.analyze(source, dims=dims)
        entry = None if why is None else explain(analysis, why)
        report = report_analysis(analysis, why=entry, seconds=stages.all_seconds())
    if graph is not None:
        write_document(render_network(analysis, graph), graph, source.identities)
    if json_path is not None:
        write_document(report, json_path, source.identities)
    if json_path == STDOUT:
        return
    if entry is not None:
        show(why_table(entry))
    else:
        show(*_tables(report))


def _tables(report: AnalysisReport) -> list[RenderableType]:
    from onnxprune.cli.console import rows_on_screen  # noqa: PLC0415
    from onnxprune.report import tables  # noqa: PLC0415
    from onnxprune.report.branches import branch_table  # noqa: PLC0415

    most = rows_on_screen()
    parts: list[RenderableType] = []
    if report.groups:
        parts.append(tables.group_table(report, most=most))
        if most is not None and len(report.groups) > most:
            hidden = len(report.groups) - most
            parts.append(f"  ... and {hidden} smaller groups: pipe into a pager, or --json FILE\n")
    parts.append(tables.total_table(report))
    if report.totals.params.frozen or report.totals.macs.frozen:
        parts.append(tables.frozen_table(report))
    if report.branches:
        parts.append(branch_table(report))
    for reason, number in tables.approximate_reasons(report)[:5]:
        parts.append(f"  approximate: {number} groups, as at {reason}")
    parts.append("  Shares overlap: a weight between two groups depends on both.")
    return parts
