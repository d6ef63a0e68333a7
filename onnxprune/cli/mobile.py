"""`onnxprune mobile`: files for phones, and what will run where."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from onnxprune.cli.options import debug_option, dims_option, json_option, model_argument

if TYPE_CHECKING:
    from rich.table import Table

    from onnxprune.mobile import MobileReport


@click.command()
@model_argument
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), metavar="DIR",
    help="Directory for the files.",
)  # fmt: skip
@dims_option
@json_option
@debug_option
def mobile(model: Path, output: Path, dims: dict[str, int], json_path: Path | None) -> None:
    """Make a model ready for phones, and say what will run where.

    Writes a copy with fixed sizes and two in ONNX Runtime's own format, each compared with MODEL,
    and judges NNAPI, Core ML, XNNPACK and QNN by the operators that they take: which share of the
    multiply-accumulates each would run, in how many pieces, and what is in the way. Nothing runs on
    a phone here, and no latency is given.
    """
    from onnxprune.cli.console import STDOUT, note, show, write_document  # noqa: PLC0415
    from onnxprune.io.files import identity_of  # noqa: PLC0415
    from onnxprune.mobile import prepare_for_mobile  # noqa: PLC0415

    report = prepare_for_mobile(model, output, dims=dims)
    if json_path is not None:
        write_document(report.to_json(), json_path, [identity_of(model.stat())])
    if json_path != STDOUT:
        show(*_tables(report))
    for text in report.notes:
        note(text)


def _tables(report: MobileReport) -> list[Table]:
    from onnxprune.report.tables import count, plain_table, shown  # noqa: PLC0415

    sizes = ", ".join(f"{k} = {v}" for k, v in report.dims.items()) or "all were fixed"
    files = plain_table(f"Files ({report.precision}; sizes: {sizes})", "file", "bytes", "purpose",
                        right=("bytes",))  # fmt: skip
    for entry in report.files:
        files.add_row(shown(entry.path, 60), count(entry.bytes), entry.purpose)
    places = plain_table("What will run where", "provider", "verdict", "MACs", "nodes", "pieces",
                         "most in the way", right=("MACs", "nodes", "pieces"))  # fmt: skip
    for place in report.placements:
        name = f"{place.provider} {place.variant}".strip()
        refused = ", ".join(f"{r.nodes} {r.op} ({r.reason})" for r in place.refused[:3])
        in_way = place.reason if place.reason.startswith("the model") else refused
        places.add_row(name, place.verdict, f"{place.macs_share:.0%}", f"{place.nodes_share:.0%}",
                       str(place.partitions), shown(in_way, 90))  # fmt: skip
    return [files, places]
