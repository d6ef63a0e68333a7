"""`onnxprune rules`, `criteria`, `plugins` and `schema`: what there is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from onnxprune.cli.options import debug_option, json_option

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import BaseModel

_KINDS = (
    "analysis", "audit", "bench", "check", "config", "costs", "criteria", "demo", "plan", "plugins",
    "providers", "prune", "rules", "scores", "verify",
)  # fmt: skip


@click.command()
@json_option
@debug_option
def rules(json_path: Path | None) -> None:
    """List the operators that the analysis understands."""
    from onnxprune.cli.console import STDOUT, show, write_document  # noqa: PLC0415
    from onnxprune.report.listing import list_rules  # noqa: PLC0415
    from onnxprune.report.tables import rule_table  # noqa: PLC0415

    report = list_rules()
    if json_path is not None:
        write_document(report, json_path, ())
    if json_path == STDOUT:
        return
    show(
        rule_table(report), "  Any other operator freezes what goes into it, and `analyze` says so."
    )


@click.command()
@json_option
@debug_option
def criteria(json_path: Path | None) -> None:
    """List the criteria that score channels, the allocations and the recoveries."""
    from onnxprune.cli.console import STDOUT, show, write_document  # noqa: PLC0415
    from onnxprune.report.listing import list_criteria  # noqa: PLC0415
    from onnxprune.report.tables import plain_table  # noqa: PLC0415

    report = list_criteria()
    if json_path is not None:
        write_document(report, json_path, ())
    if json_path == STDOUT:
        return
    tables = {
        "Criteria": report.criteria,
        "Allocations": report.allocations,
        "Recoveries": report.recoveries,
    }
    for title, entries in tables.items():
        table = plain_table(title, "name", "samples", "what it does")
        for entry in entries:
            table.add_row(entry.name, "needed" if entry.samples else "", entry.summary)
        show(table)


@click.command("plugins")
@json_option
@debug_option
def plugins(json_path: Path | None) -> None:
    """List the installed plug-ins: what they add, and what is wrong with those that fail."""
    from onnxprune.cli.console import STDOUT, show, write_document  # noqa: PLC0415
    from onnxprune.report.listing import list_plugins  # noqa: PLC0415
    from onnxprune.report.tables import plugin_table  # noqa: PLC0415

    report = list_plugins()
    if json_path is not None:
        write_document(report, json_path, ())
    if json_path == STDOUT:
        return
    if report.plugins:
        show(plugin_table(report))
    else:
        show("No plug-in is installed.")


@click.command()
@click.argument("kind", type=click.Choice(_KINDS))
@debug_option
def schema(kind: str) -> None:
    """Print the JSON schema of the documents that commands write and read."""
    from onnxprune.audit import AuditReport  # noqa: PLC0415  # not for --help
    from onnxprune.config import Config  # noqa: PLC0415
    from onnxprune.gate.document import CheckReport  # noqa: PLC0415
    from onnxprune.report.schemas import SCHEMAS  # noqa: PLC0415

    known: dict[str, type[BaseModel]] = {
        **SCHEMAS, "audit": AuditReport, "check": CheckReport, "config": Config,
    }  # fmt: skip
    click.echo(json.dumps(known[kind].model_json_schema(), indent=1))
