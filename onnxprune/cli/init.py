"""`onnxprune init`: a configuration to start from."""

from __future__ import annotations

from pathlib import Path

import click

from onnxprune.cli.options import debug_option, dims_option, model_argument


@click.command()
@model_argument
@click.option("-o", "--output", type=click.Path(path_type=Path), default="onnxprune.toml",
              show_default=True, metavar="FILE", help="Where to write it; with - to stdout.",
              )  # fmt: skip
@dims_option
@debug_option
def init(model: Path, output: Path, dims: dict[str, int]) -> None:
    """Write a commented onnxprune.toml with limits that fit MODEL.

    Looks at MODEL: what can leave it, what a plan would reach, which operators it uses, and for a
    few seconds how it runs. A file that is there already is not replaced.
    """
    from onnxprune.cli.console import STDOUT, note, write_document  # noqa: PLC0415  # not for --help
    from onnxprune.errors import InvalidConfigError, printable  # noqa: PLC0415
    from onnxprune.gate.starter import starting_config  # noqa: PLC0415
    from onnxprune.io.outfile import check_destination  # noqa: PLC0415

    if output != STDOUT:
        if output.exists():
            message = f"'{printable(output)}' is there already, and is not replaced"
            raise InvalidConfigError(message, hint="name another file with -o, or - for stdout")
        check_destination(output, ())
    folder = Path() if output == STDOUT else output.parent
    text = starting_config(model, dims=dims, folder=folder)
    write_document(text, output, ())
    if output != STDOUT:
        note(f"wrote '{printable(output)}'; next: onnxprune check PRUNED")
