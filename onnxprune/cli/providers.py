"""`onnxprune providers`: which execution providers are here, and how to get the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from onnxprune.cli.bench import python_option, target_option
from onnxprune.cli.options import debug_option, json_option

if TYPE_CHECKING:
    from pathlib import Path

    from onnxprune.targets import Target


@click.command()
@python_option
@target_option
@json_option
@debug_option
def providers(pythons: dict[str, Path], target: Target | None, json_path: Path | None) -> None:
    """List execution providers: what is here, what is missing, and the command that brings it."""
    from onnxprune.bench.table import provider_table  # noqa: PLC0415  # not for --help
    from onnxprune.cli.console import STDOUT, show, write_document  # noqa: PLC0415
    from onnxprune.providers.listing import list_providers  # noqa: PLC0415

    report = list_providers(pythons, target=target)
    if json_path is not None:
        write_document(report.to_json(), json_path, ())
    if json_path != STDOUT:
        show(*provider_table(report))
