"""`onnxprune order`: what consumers read of every stream, and in which order it stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from onnxprune.cli.options import (
    collect,
    debug_option,
    dims_option,
    json_option,
    model_argument,
    plan_options,
)


@click.command()
@model_argument
@click.option(
    "--plan", "plan_path", type=click.Path(path_type=Path), metavar="FILE",
    help="Show an unconstrained plan instead of making one.",
)  # fmt: skip
@click.option(
    "--svg", type=click.Path(path_type=Path), metavar="FILE", help="Write a picture as well."
)
@json_option
@plan_options
@dims_option
@debug_option
def order(
    model: Path,
    plan_path: Path | None,
    svg: Path | None,
    json_path: Path | None,
    dims: dict[str, int],
    **options: Any,  # noqa: ANN401  # the options of a plan
) -> None:
    """Show each stream with what its consumers read, before and after its channels are reordered.

    Takes the options of a plan, with --coupling unconstrained, or a plan. Changes nothing.
    """
    from onnxprune import pipeline  # noqa: PLC0415  # not for --help
    from onnxprune.cli.console import STDOUT, show, write_document  # noqa: PLC0415
    from onnxprune.cli.progress import showing_progress  # noqa: PLC0415
    from onnxprune.io.outfile import check_destination  # noqa: PLC0415
    from onnxprune.report.streampicture import stream_picture  # noqa: PLC0415
    from onnxprune.report.streams import stream_lines  # noqa: PLC0415

    wanted = collect(options)
    if wanted.get("coupling") == "constrained":
        wanted["coupling"] = "unconstrained"
    with showing_progress() as progress:
        source = pipeline.load(model)
        for path in (svg, json_path):
            if path is not None and path != STDOUT:
                check_destination(path, source.identities)
        report = pipeline.order(source, plan=plan_path, dims=dims, progress=progress, **wanted)
    if svg is not None:
        write_document(stream_picture(report), svg, source.identities)
    if json_path is not None:
        write_document(report.to_json(), json_path, source.identities)
    if STDOUT not in (svg, json_path):
        for line in stream_lines(report):
            show(line)
