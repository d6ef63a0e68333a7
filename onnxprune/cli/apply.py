"""`onnxprune apply`: carry out a plan."""

from __future__ import annotations

from pathlib import Path

import click

from onnxprune.cli.options import (
    debug_option,
    dims_option,
    model_argument,
    output_option,
    report_option,
    verify_option,
)


@click.command()
@model_argument
@click.argument("plan", type=click.Path(path_type=Path))
@output_option
@dims_option
@verify_option
@report_option
@debug_option
def apply(  # one per option
    model: Path,
    plan: Path,
    output: Path,
    dims: dict[str, int],
    check: bool,  # noqa: FBT001  # a flag of the command line
    report: Path | None,
) -> None:
    """Carry out a plan on the model that it was made for.

    The same MODEL and PLAN give the same bytes on every machine.
    """
    from onnxprune import pipeline  # noqa: PLC0415  # not for --help
    from onnxprune.cli.outcome import show_outcome  # noqa: PLC0415
    from onnxprune.cli.progress import showing_progress  # noqa: PLC0415

    with showing_progress() as progress:
        outcome = pipeline.apply(
            model, plan, output, dims=dims, verify=check, report=report, progress=progress
        )
    show_outcome(outcome)
