"""`onnxprune diff`: two models or two plans, compared in words."""

from __future__ import annotations

from pathlib import Path

import click

from onnxprune.cli.options import debug_option, json_option

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("first", type=_FILE)
@click.argument("second", type=_FILE)
@json_option
@debug_option
def diff(first: Path, second: Path, json_path: Path | None) -> None:
    """Compare two models, or two plans, in words.

    Of models: inputs and outputs, operators, the shape and content of every weight, and whether one
    was made from the other. Of plans: settings, and what leaves each group.
    """
    from onnxprune.cli.console import STDOUT, show, write_document  # noqa: PLC0415  # not for --help
    from onnxprune.diff import compare_files  # noqa: PLC0415
    from onnxprune.io.files import identity_of  # noqa: PLC0415

    report = compare_files(first, second)
    if json_path is not None:
        write_document(report, json_path, [identity_of(p.stat()) for p in (first, second)])
    if json_path != STDOUT:
        show(*report.summary)
