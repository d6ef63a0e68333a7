"""`onnxprune sweep`: many ways to prune one model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxprune.cli.options import debug_option, model_argument

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnxprune.workflow import SweepReport


def _parse(_ctx: click.Context, _param: click.Parameter, given: Sequence[str]) -> dict[str, Any]:
    """Parse `ratio=0.1,0.2`: values as TOML has them, and words."""
    found: dict[str, list[Any]] = {}
    for text in given:
        name, equals, values = text.partition("=")
        if not equals or not name or not values:
            message = f"'{text}' is not of the form OPTION=VALUE,VALUE"
            raise click.BadParameter(message)
        if name in found:
            message = f"'{name}' is given twice"
            raise click.BadParameter(message)
        found[name.removeprefix("--")] = [_value(v) for v in values.split(",")]
    return found


def _value(text: str) -> Any:  # noqa: ANN401  # of the option
    import tomllib  # noqa: PLC0415  # not for --help

    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text


@click.command()
@model_argument
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="DIR",
              help="Directory for models and results.")  # fmt: skip
@click.option("--vary", multiple=True, required=True, callback=_parse, metavar="OPTION=V,V,...",
              help="Values of an option of `prune`; every combination is a job. May be repeated.",
              )  # fmt: skip
@click.option("--provider", "providers", multiple=True, metavar="SPEC",
              help="Measure every result on this provider; may be repeated.")  # fmt: skip
@click.option("--time-budget", type=click.FloatRange(min=0.1), default=30.0, show_default=True,
              metavar="S", help="Seconds for one comparison.")  # fmt: skip
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, metavar="N",
              help="How many at a time.")  # fmt: skip
@click.option("--scheduler", metavar="dask://HOST:PORT",
              help="Run the jobs on a Dask cluster whose workers see the same files.",
              )  # fmt: skip
@debug_option
@click.pass_context
def sweep(
    ctx: click.Context,
    /,
    model: Path,
    output: Path,
    **options: Any,  # noqa: ANN401  # of the function
) -> None:
    """Prune a model in every combination of some options.

    Results are one line each of DIR/results.jsonl, a picture, DIR/pareto.svg, and a page,
    DIR/report.html. A sweep that was
    interrupted goes on where it stopped; a job that fails is a result like the others.
    """
    from onnxprune import workflow  # noqa: PLC0415  # not for --help
    from onnxprune.cli.progress import showing_progress  # noqa: PLC0415
    from onnxprune.io.outfile import new_files  # noqa: PLC0415
    from onnxprune.page import read_results, to_html  # noqa: PLC0415
    from onnxprune.page.figures import pareto  # noqa: PLC0415

    with showing_progress() as progress:
        report = workflow.sweep(model, output, progress=progress, **options)
    folder = report.path.parent
    picture = pareto(report.rows)
    if picture is not None:
        with new_files(folder / "pareto.svg") as [file]:
            file.write(picture.encode())
    stems = [row["file"].removesuffix(".onnx") for row in report.rows]
    documents = [folder / f"{s}.{kind}.json" for s in stems for kind in ("prune", "bench")]
    with new_files(folder / "report.html") as [file]:
        file.write(to_html(read_results([p for p in documents if p.exists()])).encode())
    _show(report)
    ctx.exit(1 if report.failed else 0)


def _show(report: SweepReport) -> None:
    from onnxprune.cli.console import show  # noqa: PLC0415
    from onnxprune.report.tables import plain_table, shown  # noqa: PLC0415

    names = list(dict.fromkeys(n for row in report.rows for n in row["options"]))
    names = [n for n in names if len({str(r["options"].get(n)) for r in report.rows}) > 1]
    right = ("job", "MACs", "parameters", "lost", "time")
    table = plain_table("Sweep", "job", *names, *right[1:], "", right=right)
    for row in report.rows:
        done, lost = row["achieved"], _lost(row)
        times = [f"{c['ratio']:.2f}" for c in row["comparisons"]]
        table.add_row(
            str(row["job"]), *(shown(row["options"].get(n, "")) for n in names),
            f"{-done['macs']:.1%}" if done else "", f"{-done['params']:.1%}" if done else "",
            "" if lost is None else f"{lost:.4f}", ", ".join(times), shown(row["error"] or "", 60),
        )  # fmt: skip
    show(table, f"  {len(report.rows)} jobs, {report.skipped} of them done before, "
         f"{len(report.failed)} failed; {report.path}")  # fmt: skip


def _lost(row: dict[str, Any]) -> float | None:
    """Return what the user's metric, or else the fidelity, lost."""
    judged = row["metric"] or row["fidelity"]
    return None if judged is None else float(judged["drop"])
