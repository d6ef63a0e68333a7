"""`onnxprune report`: one page of what other commands found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from onnxprune.cli.options import debug_option

if TYPE_CHECKING:
    from collections.abc import Sequence

_FORMATS = (".html", ".htm", ".md", ".markdown")


@click.command()
@click.argument(
    "results", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RESULT.json..."
)
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), metavar="OUT",
    help="Where to write the page: .html or .md; with - Markdown goes to stdout.",
)  # fmt: skip
@debug_option
def report(results: Sequence[Path], output: Path) -> None:
    """Show results on one page.

    Takes any number of files that `prune --report`, `bench --json`, `check --format json`, `verify
    --json`, `audit --json` and `analyze --json` wrote, and brings together what speaks of one
    model. The HTML page has its pictures inside and needs no network.
    """
    from onnxprune.cli.console import STDOUT, write_document  # noqa: PLC0415  # not for --help
    from onnxprune.io.files import identity_of  # noqa: PLC0415
    from onnxprune.page import read_results, to_html, to_markdown  # noqa: PLC0415

    if output != STDOUT and output.suffix.lower() not in _FORMATS:
        message = f"'{output}' is neither .html nor .md"
        raise click.BadParameter(message, param_hint="-o")
    found = read_results(results)
    page = to_html(found) if output.suffix.lower().startswith(".htm") else to_markdown(found)
    write_document(page, output, [identity_of(path.stat()) for path in results])
