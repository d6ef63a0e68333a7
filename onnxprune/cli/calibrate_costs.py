"""`onnxprune calibrate-costs`: measure what layers take, ahead of time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from onnxprune.cli.options import debug_option, dims_option, json_option

if TYPE_CHECKING:
    from onnxprune.report.costs import CostsReport


@click.command("calibrate-costs")
@click.argument("models", nargs=-1, required=True, metavar="MODEL [MODEL ...]",
                type=click.Path(path_type=Path))  # fmt: skip
@click.option("--provider", default="cpu", show_default=True, metavar="SPEC",
              help="name[:option=value,...].")  # fmt: skip
@click.option("--threads", type=click.IntRange(min=0), default=1, show_default=True, metavar="N",
              help="Threads within an operator, 0 leaves it to the runtime.")  # fmt: skip
@dims_option
@json_option
@debug_option
def calibrate_costs(
    models: tuple[Path, ...],
    provider: str,
    threads: int,
    dims: dict[str, int],
    json_path: Path | None,
) -> None:
    """Measure what the layers of models take on a provider at various widths.

    The times are kept per machine, provider and version; `prune --max-latency-ratio`, `--align
    auto` and unconstrained coupling use them. What is known already is not measured again.
    """
    from onnxprune.cli.console import STDOUT, note, show, write_document  # noqa: PLC0415
    from onnxprune.cli.progress import showing_progress  # noqa: PLC0415
    from onnxprune.report.costs import calibrate, costs_table  # noqa: PLC0415

    with showing_progress() as progress:
        report: CostsReport = calibrate(
            models, provider=provider, threads=threads, dims=dims, progress=progress
        )
    if json_path is not None:
        write_document(report.to_json(), json_path, ())
    if json_path != STDOUT:
        show(costs_table(report))
    for text in report.notes:
        note(text)
