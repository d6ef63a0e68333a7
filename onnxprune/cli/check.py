"""`onnxprune check`: the gate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxprune.cli.bench import python_option
from onnxprune.cli.options import debug_option, parse_dims
from onnxprune.config import CheckSection, Metavar

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic.fields import FieldInfo

    from onnxprune.gate.document import CheckReport

_FORMATS = (
    "json", "junit", "sarif", "markdown", "github", "gitlab", "gitlab-metrics", "benchmark",
)  # fmt: skip
_FLAGS = {"providers": "--provider"}


def _option(name: str, field: FieldInfo) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option of a key; what it is given is checked as if it stood in a file."""
    flag, text = _FLAGS.get(name, f"--{field.alias}"), field.description
    if name == "dims":
        return click.option(
            flag, name, multiple=True, callback=parse_dims, metavar="N=1,T=64", help=text
        )
    if field.annotation is bool:
        return click.option(flag, name, is_flag=True, default=None, help=text)
    [mark] = [m for m in field.metadata if isinstance(m, Metavar)]
    if name == "verified":
        return click.option(
            flag, name, is_flag=False, flag_value="exact", metavar=f"[{mark.text}]", help=text
        )
    return click.option(flag, name, multiple=mark.many, metavar=mark.text, help=text)


def section_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for every key of the section `check`."""
    for name, field in reversed(CheckSection.model_fields.items()):
        command = _option(name, field)(command)
    return command


@click.command()
@click.argument("pruned", type=click.Path(path_type=Path))
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE",
              help="Limits from this file; by default onnxprune.toml or pyproject.toml here.",
              )  # fmt: skip
@section_options
@click.option("--static", is_flag=True, help="Leave out what runs a model.")
@click.option("--format", "formats", multiple=True, type=click.Choice(_FORMATS), metavar="NAME",
              help=f"{', '.join(_FORMATS)}; may be repeated.")  # fmt: skip
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="DIR",
              help="Write the formats there; without it, one of them goes to stdout.",
              )  # fmt: skip
@python_option
@debug_option
@click.pass_context
def check(
    ctx: click.Context,
    /,
    pruned: Path,
    *,
    formats: tuple[str, ...],
    output: Path | None,
    **settings: Any,  # noqa: ANN401  # the keys of the section, and what `check` takes besides
) -> None:
    """Check PRUNED against limits, measured beside its baseline on this machine.

    Limits are options or keys of [tool.onnxprune.check]. Exit status 0 when all are kept to, 1 when
    one is not, 2 when there is none, 3 when something stays undecided or could not be measured.
    """
    from onnxprune.cli.progress import showing_progress  # noqa: PLC0415  # not for --help
    from onnxprune.gate.run import check as run_check  # noqa: PLC0415

    places = _places(formats, output)  # mistakes first, work later
    given = {name: _value(name, value) for name, value in settings.items()}
    with showing_progress() as progress:
        report = run_check(pruned, progress=progress, **given)
    _write(report, places)
    ctx.exit(report.status)


def _value(name: str, value: Any) -> Any:  # noqa: ANN401  # of any option
    """Return what a key would have in a file; None where the option was not given."""
    if name in {"max_latency_ratio", "min_provider_share"}:
        return _per_provider(name, value)
    if name == "pythons":
        return value
    return None if value in ((), {}) else value


def _per_provider(name: str, values: tuple[str, ...]) -> str | dict[str, str] | None:
    """Read one number for all, or `cpu=0.9`; the name may hold options and more equals signs."""
    found: dict[str, str] = {}
    for value in values:
        provider, _, limit = value.rpartition("=")
        if provider in found or (not provider and len(values) > 1):
            message = f"'{value}': give one number for all providers, or one for each by its name"
            raise click.BadParameter(message, param_hint=f"--{name.replace('_', '-')}")
        found[provider] = limit
    return found.get("", found) or None


def _places(formats: tuple[str, ...], output: Path | None) -> dict[str, Path | None]:
    """Return where each format goes, None for stdout.

    Raises:
        UsageError: several would go to stdout.
        InvalidConfigError: the folder cannot be written to.
    """
    from onnxprune.gate.formats import FORMATS  # noqa: PLC0415  # not for --help
    from onnxprune.io.outfile import check_destination  # noqa: PLC0415

    if output is not None and not formats:
        message = "nothing to write: -o is for what --format names"
        raise click.UsageError(message)
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
    places = {}
    for name in dict.fromkeys(formats):
        file_name = FORMATS[name].file_name
        places[name] = output / file_name if output is not None and file_name else None
        if (place := places[name]) is not None:
            check_destination(place, ())
    if sum(place is None for place in places.values()) > 1:
        message = "several formats at once need a folder: -o DIR"
        raise click.UsageError(message)
    return places


def _write(report: CheckReport, places: dict[str, Path | None]) -> None:
    from onnxprune.cli.console import STDOUT, note, show, write_document  # noqa: PLC0415
    from onnxprune.gate.formats import FORMATS  # noqa: PLC0415
    from onnxprune.gate.table import check_table  # noqa: PLC0415

    if None not in places.values():
        show(*check_table(report))
    for name, place in places.items():
        write_document(FORMATS[name].render(report), place or STDOUT, ())
    for text in report.notes:
        note(text)
    if report.skipped:
        note(f"not checked, because they run the models: {', '.join(report.skipped)}")
