"""`onnxprune plan`: choose what leaves, and write that down instead of doing it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from onnxprune.cli.options import (
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
@dims_option
@debug_option
def plan(model: Path, output: Path, dims: dict[str, int], **options: Any) -> None:  # noqa: ANN401
    """Write a plan of what would leave, to review and to apply later.

    With -o - the plan goes to stdout.
    """
    from onnxprune import pipeline  # noqa: PLC0415  # not for --help
    from onnxprune.cli.console import STDOUT, show, write_document  # noqa: PLC0415
    from onnxprune.cli.progress import showing_progress  # noqa: PLC0415
    from onnxprune.io.outfile import check_destination  # noqa: PLC0415

    with showing_progress() as progress:
        source = pipeline.load(model)
        if output != STDOUT:
            check_destination(output, source.identities)
        chosen = pipeline.plan(source, dims=dims, progress=progress, **collect(options))
    write_document(chosen.to_json(), output, source.identities)
    if output != STDOUT:
        left = ", ".join(f"{v:.1%} of the {k}" for k, v in sorted(chosen.predicted.items()))
        show(f"{len(chosen.groups)} groups to prune; {left} would remain")
