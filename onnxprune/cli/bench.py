"""`onnxprune bench`: latency of models per execution provider."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxprune.cli.options import debug_option, dims_option, json_option

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from onnxprune.bench.document import BenchReport
    from onnxprune.targets import Target


_PROTOCOL = {
    "clock": "clock",
    "spin": "spinning",
    "time_budget": "time_budget_s",
    "seed": "seed",
}
"""Options that belong to the protocol, and what they are called there."""


def parse_pythons(
    _ctx: click.Context, _param: click.Parameter, values: Sequence[str]
) -> dict[str, Path]:
    """Parse `openvino=PATH`; a path alone is for all providers without one of their own."""
    from onnxprune.providers.registry import find_provider  # noqa: PLC0415  # not for --help

    found: dict[str, Path] = {}
    for value in values:
        name, equals, path = value.partition("=")
        key = find_provider(name).name if equals else ""
        if key in found:
            message = f"'{value}' is the second interpreter for the same providers"
            raise click.BadParameter(message)
        found[key] = Path(path if equals else value)
    return found


python_option = click.option(
    "--python", "pythons", multiple=True, callback=parse_pythons, metavar="[NAME=]PATH",
    help="Run a provider in another interpreter, whose environment has its build of ONNX Runtime; "
    "may be repeated.",
)  # fmt: skip


def _parse_target(_ctx: click.Context, _param: click.Parameter, value: str | None) -> Target | None:
    from onnxprune.targets import parse_target  # noqa: PLC0415  # not for --help

    return None if value is None else parse_target(value)


target_option = click.option(
    "--target", callback=_parse_target, metavar="TARGET",
    help="Another machine: ssh://[user@]host[:port], adb or adb://SERIAL; --python is then an "
    "interpreter there, python3 by default.",
)  # fmt: skip


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL [MODEL ...]",
                type=click.Path(path_type=Path))  # fmt: skip
@click.option("--provider", "providers", multiple=True, default=("cpu",), metavar="SPEC",
              help="name[:option=value,...], cpu by default; may be repeated.")  # fmt: skip
@click.option("--threads", type=click.IntRange(min=0), multiple=True, default=(1,),
              metavar="N",
              help="Threads within an operator, 1 by default, 0 leaves it to the runtime; may be "
              "repeated.")  # fmt: skip
@click.option("--batch", type=click.IntRange(min=1), metavar="N",
              help="Size of the batch where it is open; 1 by default.")  # fmt: skip
@dims_option
@click.option("--time-budget", type=click.FloatRange(min=0.1), default=30.0, show_default=True,
              metavar="S", help="Seconds for one comparison.")  # fmt: skip
@click.option("--require-share", type=float, metavar="X",
              help="Fail unless this share of the nodes runs on the provider.")  # fmt: skip
@click.option("--tolerance", type=click.FloatRange(min=0.0, min_open=True), metavar="X",
              help="Largest difference from the CPU provider's outputs, relative.")  # fmt: skip
@click.option("--clock", type=click.Choice(["auto", "cpu", "wall"]), default="auto",
              show_default=True, help="Which time counts for the ratio.")  # fmt: skip
@click.option("--spin", is_flag=True, help="Let threads spin while they wait.")
@click.option("--seed", type=int, default=0, show_default=True, metavar="N",
              help="Seed of the inputs and of the order.")  # fmt: skip
@python_option
@target_option
@json_option
@debug_option
@click.pass_context
def bench(  # one per option
    ctx: click.Context,
    /,
    models: tuple[Path, ...],
    json_path: Path | None,
    **options: Any,  # noqa: ANN401  # of the protocol, and of the function
) -> None:
    """Measure latency, and compare all models with the first.

    Models take turns in rebuilt sessions, and the first is compared with itself as well, so that
    the interval of every ratio can be trusted. A provider that does not run a model, or not
    rightly, is a failure: exit status 3, as for a comparison without a clear result.
    """
    from onnxprune.bench.protocol import Protocol  # noqa: PLC0415  # not for --help
    from onnxprune.bench.run import benchmark  # noqa: PLC0415
    from onnxprune.cli.console import STDOUT, write_document  # noqa: PLC0415
    from onnxprune.io.files import identity_of  # noqa: PLC0415
    from onnxprune.io.outfile import check_destination  # noqa: PLC0415

    protocol = Protocol(**{name: options.pop(option) for option, name in _PROTOCOL.items()})
    inputs = [identity_of(p.stat()) for p in models if p.exists()]
    if json_path is not None and json_path != STDOUT:
        check_destination(json_path, inputs)  # mistakes first, work later
    with _showing_progress() as progress:
        report = benchmark(models, protocol=protocol, progress=progress, **options)
    if json_path is not None:
        write_document(report.to_json(), json_path, inputs)
    _show(report, tables=json_path != STDOUT)
    ctx.exit(0 if report.conclusive else 3)


def _show(report: BenchReport, *, tables: bool) -> None:
    from onnxprune.bench.table import bench_tables  # noqa: PLC0415  # not for --help
    from onnxprune.cli.console import note, show  # noqa: PLC0415

    if tables:
        show(*bench_tables(report))
    for text in report.notes:
        note(text)
    for failure in report.failures:
        click.echo(f"error: {failure.error}", err=True)
        if failure.hint:
            click.echo(f"try: {failure.hint}", err=True)


@contextlib.contextmanager
def _showing_progress() -> Iterator[Callable[[str, int, int], None] | None]:
    from onnxprune.cli.progress import showing_progress  # noqa: PLC0415  # not for --help
    from onnxprune.errors import printable  # noqa: PLC0415

    with showing_progress() as progress:
        if progress is None:
            yield None
            return

        def show(stage: str, done: int, total: int) -> None:
            progress(printable(stage), min(done, total), total)

        yield show
