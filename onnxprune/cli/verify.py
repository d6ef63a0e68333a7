"""`onnxprune verify`: check a pruned file against its original."""

from __future__ import annotations

from pathlib import Path

import click

from onnxprune.cli.options import debug_option, dims_option, json_option

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("original", type=_FILE)
@click.argument("pruned", type=_FILE)
@click.option("--plan", type=_FILE, metavar="FILE", help="The plan that PRUNED was made with.")
@json_option
@dims_option
@debug_option
@click.pass_context
def verify(  # one per option
    ctx: click.Context,
    original: Path,
    pruned: Path,
    plan: Path | None,
    json_path: Path | None,
    dims: dict[str, int],
) -> None:
    """Check that PRUNED does what ORIGINAL does without the removed channels.

    Without a plan, what was removed is read off the weights. Where they are no slices of the
    original's, only the shapes and types of the outputs can be compared; the result says so.
    Exit status 1 when the check fails.
    """
    from onnxprune import pipeline  # noqa: PLC0415  # not for --help
    from onnxprune.cli.console import STDOUT, show, write_document  # noqa: PLC0415
    from onnxprune.cli.progress import showing_progress  # noqa: PLC0415
    from onnxprune.io.files import identity_of  # noqa: PLC0415
    from onnxprune.report.tables import verify_lines  # noqa: PLC0415

    with showing_progress() as progress:
        report = pipeline.verify(original, pruned, plan=plan, dims=dims, progress=progress)
    if json_path is not None:
        write_document(report, json_path, [identity_of(p.stat()) for p in (original, pruned)])
    if json_path != STDOUT:
        show(*verify_lines(report))
    ctx.exit(0 if report.passed else 1)
