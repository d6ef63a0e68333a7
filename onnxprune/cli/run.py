"""`onnxprune run`: a configuration, from the model to the report."""

from __future__ import annotations

from pathlib import Path

import click

from onnxprune.cli.options import debug_option

_FILE = click.Path(path_type=Path)


@click.command()
@click.option("--config", type=_FILE, metavar="FILE",
              help="The configuration; by default onnxprune.toml or pyproject.toml here.",
              )  # fmt: skip
@click.option("--model", type=_FILE, metavar="MODEL", help="Instead of the configured model.")
@click.option("-o", "--output", type=_FILE, metavar="DIR", help="Instead of the configured output.")
@click.option("--dry-run", "dry", is_flag=True, help="Tell what would be done, and do nothing.")
@click.option("--fresh", is_flag=True, help="Do everything again.")
@debug_option
@click.pass_context
def run(
    ctx: click.Context,
    /,
    *,
    config: Path | None,
    model: Path | None,
    output: Path | None,
    dry: bool,
    fresh: bool,
) -> None:
    """Carry out a configuration: prune or apply, bench, check, report.

    What to do stands in the sections [run], [prune], [bench] and [check] of onnxprune.toml. Steps
    whose inputs are unchanged are not done again, and a run that was interrupted goes on where it
    stopped. A plan named in [run] is carried out on a model with other weights as well, if the
    architecture is the same. The exit status is that of the check.
    """
    from onnxprune import workflow  # noqa: PLC0415  # not for --help
    from onnxprune.cli.console import show  # noqa: PLC0415
    from onnxprune.cli.progress import showing_progress  # noqa: PLC0415

    with showing_progress() as progress:
        report = workflow.run(
            config, model=model, output=output, dry=dry, fresh=fresh, progress=progress
        )
    for step in report.steps:
        files = ", ".join(str(p) for p in step.files if dry or p.exists())
        show(f"{step.name}: {step.outcome}{f' ({files})' if files else ''}")
    for message in report.messages:
        click.echo(f"error: {message}", err=True)
    ctx.exit(report.status)
