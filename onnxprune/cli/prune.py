"""`onnxprune prune`: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from onnxprune.cli.options import (
    calibration_options,
    collect,
    debug_option,
    dims_option,
    model_argument,
    output_option,
    plan_options,
    report_option,
    verify_option,
)


@click.command()
@model_argument
@output_option
@plan_options
@calibration_options
@click.option(
    "--metric", metavar="MODULE:FUNCTION",
    help="Python code that runs the model and returns a number, higher for better: measured before "
    "and after.",
)  # fmt: skip
@click.option(
    "--max-drop", type=float, metavar="X",
    help="Remove as much as loses at most X of the metric, or of the outputs on held-back samples.",
)  # fmt: skip
@dims_option
@verify_option
@click.option(
    "--plan-out", type=click.Path(path_type=Path), metavar="FILE", help="Write the plan as well."
)
@report_option
@debug_option
def prune(  # noqa: PLR0913, PLR0917  # one per option
    model: Path,
    output: Path,
    dims: dict[str, int],
    check: bool,  # noqa: FBT001  # a flag of the command line
    plan_out: Path | None,
    report: Path | None,
    calibration: str | None,
    calibration_entry: str | None,
    samples: int,
    recovery: str,
    metric: str | None,
    max_drop: float | None,
    **options: Any,  # noqa: ANN401  # the options of a plan
) -> None:
    """Write a smaller model that is proven right.

    Analyses MODEL, chooses what leaves for one target (--ratio, --remove-params, --remove-macs,
    --max-bytes or --max-drop), writes OUT beside its place, compares it with the masked original,
    and only then gives it its name.
    """
    from onnxprune import pipeline  # noqa: PLC0415  # not for --help
    from onnxprune.cli.outcome import show_outcome  # noqa: PLC0415
    from onnxprune.cli.progress import showing_progress  # noqa: PLC0415

    with showing_progress() as progress:
        outcome = pipeline.prune(
            model, output, dims=dims, verify=check, plan_out=plan_out, report=report,
            calibration=calibration, calibration_entry=calibration_entry, samples=samples,
            recovery=recovery, metric=metric, max_drop=max_drop, progress=progress,
            **collect(options),
        )  # fmt: skip
    show_outcome(outcome)
