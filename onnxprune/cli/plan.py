"""`onnxprune plan`: choose what leaves, and write that down instead of doing it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from onnxprune.cli.options import (
    calibration_options,
    collect,
    debug_option,
    dims_option,
    model_argument,
    output_option,
    plan_options,
)

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@model_argument
@output_option
@plan_options
@calibration_options
@dims_option
@debug_option
def plan(  # noqa: PLR0917  # one per option
    model: Path,
    output: Path,
    dims: dict[str, int],
    calibration: str | None,
    calibration_entry: str | None,
    samples: int,
    recovery: str,
    **options: Any,  # noqa: ANN401  # the options of a plan
) -> None:
    """Write a plan of what would leave, to review and to apply later.

    With -o - the plan goes to stdout. With samples, the repaired weights are written beside it, as
    a safetensors file that `apply` needs.
    """
    from onnxprune import pipeline  # noqa: PLC0415  # not for --help
    from onnxprune.cli.console import STDOUT, show, write_document  # noqa: PLC0415
    from onnxprune.cli.progress import showing_progress  # noqa: PLC0415

    with showing_progress() as progress:
        chosen = pipeline.plan(
            model, dims=dims, output=None if output == STDOUT else output,
            calibration=calibration, calibration_entry=calibration_entry, samples=samples,
            recovery=recovery, progress=progress, **collect(options),
        )  # fmt: skip
    if output == STDOUT:
        write_document(chosen.to_json(), output, ())
    else:
        left = ", ".join(f"{v:.1%} of the {k}" for k, v in sorted(chosen.predicted.items()))
        show(f"{len(chosen.groups)} groups to prune; {left} would remain")
