"""`onnxprune check`: the gate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxprune.cli.bench import python_option
from onnxprune.cli.options import debug_option, parse_dims

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from onnxprune.gate.document import CheckReport

_FORMATS = (
    "json", "junit", "sarif", "markdown", "github", "gitlab", "gitlab-metrics", "benchmark",
)  # fmt: skip
_FLAGS = {"providers": "--provider"}


class _Command(click.Command):
    """A command with an option for every key of the section `check`, made when they are needed."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the parameters; the keys come after the arguments."""
        from onnxprune.config import CheckSection  # noqa: PLC0415  # not for a list of commands

        own = super().get_params(ctx)
        keys = [_option(name, field) for name, field in CheckSection.model_fields.items()]
        return [*own[:1], *keys, *own[1:]]


def _option(name: str, field: FieldInfo) -> click.Option:
    """Return the option of a key; what it is given is checked as if it stood in a file."""
    from onnxprune.config import Metavar  # noqa: PLC0415

    declarations, text = [_FLAGS.get(name, f"--{field.alias}"), name], field.description
    if name == "dims":
        return click.Option(
            declarations, multiple=True, callback=parse_dims, metavar="N=1,T=64", help=text
        )
    if field.annotation is bool:
        return click.Option(declarations, is_flag=True, default=None, help=text)
    [mark] = [m for m in field.metadata if isinstance(m, Metavar)]
    if name == "verified":
        return click.Option(
            declarations, is_flag=False, flag_value="exact", metavar=f"[{mark.text}]", help=text
        )
    return click.Option(declarations, multiple=mark.many, metavar=mark.text, help=text)


@click.command(cls=_Command)
@click.argument("pruned", type=click.Path(path_type=Path))
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE",
              help="Limits from this file; by default onnxprune.toml or pyproject.toml here.",
              )  # fmt: skip
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
        _make_folder(output)
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


def _make_folder(folder: Path) -> None:
    from onnxprune.errors import InvalidConfigError, printable  # noqa: PLC0415  # not for --help

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"folder '{printable(folder)}' cannot be made: {error.strerror}"
        raise InvalidConfigError(message, hint="name another with -o") from None


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
