"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from onnxprune.cli.failure import is_debug

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from onnxprune.planning.options import PlanOptions

Decorated = TypeVar("Decorated", bound="Callable[..., Any]")


def parse_dims(
    _ctx: click.Context, _param: click.Parameter, values: Sequence[str]
) -> dict[str, int]:
    """Parse `N=1,T=64`; symbols may hold anything but commas."""
    found: dict[str, int] = {}
    for item in (part for value in values for part in value.split(",")):
        symbol, _, size = item.rpartition("=")
        if not symbol.strip() or not size.strip().isdecimal():
            message = f"'{item}' is not of the form NAME=SIZE"
            raise click.BadParameter(message)
        found[symbol.strip()] = int(size)
    return found


def _parse_align(
    _ctx: click.Context, _param: click.Parameter, value: str | None
) -> int | Literal["auto"] | None:
    if value is None or value == "auto":
        return "auto" if value else None
    if not value.isdecimal():
        message = f"'{value}' is neither a whole number nor auto"
        raise click.BadParameter(message)
    return int(value)


def _parse_depth(
    _ctx: click.Context, _param: click.Parameter, value: str | None
) -> int | Literal["auto"] | None:
    if value is None:
        return None
    if value == "auto":
        return "auto"
    if not value.isdecimal() or not int(value):
        message = f"'{value}' is neither a whole number from 1 nor auto"
        raise click.BadParameter(message)
    return int(value)


def _set_debug(ctx: click.Context, _param: click.Parameter, value: bool) -> None:  # noqa: FBT001  # click's signature
    if value:
        ctx.meta[is_debug.__name__] = True


_FILE = click.Path(path_type=Path)

model_argument = click.argument("model", type=_FILE)

dims_option = click.option(
    "--dims", multiple=True, callback=parse_dims, metavar="N=1,T=64",
    help="Sizes of symbolic input dimensions to analyse and verify at.",
)  # fmt: skip
debug_option = click.option(
    "--debug", is_flag=True, expose_value=False, callback=_set_debug,
    help="Show where in the program an error came from.",
)  # fmt: skip
output_option = click.option(
    "-o", "--output", type=_FILE, required=True, metavar="OUT", help="Where to write the result."
)
verify_option = click.option(
    "--no-verify", "check", is_flag=True, flag_value=False, default=True,
    help="Write without comparing with the masked original first.",
)  # fmt: skip
report_option = click.option(
    "--report", type=_FILE, metavar="FILE", help="Write the report as JSON."
)
json_option = click.option(
    "--json", "json_path", type=_FILE, metavar="FILE",
    help="Write JSON to a file; with - to stdout, and nothing else there.",
)  # fmt: skip

_PLAN = (
    click.option("--ratio", type=float, metavar="R", help="Remove this share of every group."),
    click.option("--remove-params", type=float, metavar="R",
                 help="Remove this share of the parameters."),
    click.option("--remove-macs", type=float, metavar="R",
                 help="Remove this share of the multiply-accumulates."),
    click.option("--max-bytes", metavar="SIZE", help="Bring the file to 500000, 10MB or 9.5MiB."),
    click.option("--max-latency-ratio", type=float, metavar="R",
                 help="Bring the measured time of a run under this share of the original's."),
    click.option("--criterion", metavar="NAME",
                 help="What scores channels, see `onnxprune criteria`; by default l2, with "
                 "--calibration obs."),
    click.option("--allocation", metavar="NAME",
                 help="Which group gives how much; by default uniform, with --calibration "
                 "knapsack unless --ratio is given."),
    click.option("--depth", callback=_parse_depth, metavar="N|auto",
                 help="Remove N residual branches as wholes, or as many as are cheaper than "
                 "channels; needs --calibration."),
    click.option("--coupling", default="constrained", show_default=True,
                 type=click.Choice(["constrained", "unconstrained", "auto"]), metavar="NAME",
                 help="constrained removes a channel for all its consumers at once; unconstrained "
                 "lets every consumer drop channels of its own; auto does so where it pays."),
    click.option("--max-copies", type=int, metavar="N",
                 help="Unconstrained: add at most this many Slice and Gather nodes."),
    click.option("--no-copies", "max_copies", flag_value=0, type=int,
                 help="Unconstrained: add none; what a consumer ignores gets zero weights."),
    click.option("--allow-approximate", is_flag=True,
                 help="Prune groups as well whose removal changes a normalisation."),
    click.option("--seed", type=int, default=0, show_default=True, metavar="N",
                 help="Seed of everything random."),
    click.option("--align", callback=_parse_align, metavar="N|auto",
                 help="Keep a multiple of this many channels in every group; auto takes the "
                 "provider's steps as measured. By default those that are known, with --ratio 1."),
    click.option("--provider", default="cpu", show_default=True, metavar="SPEC",
                 help="Execution provider to be fast on, as name[:option=value,...]."),
    click.option("--threads", type=click.IntRange(min=0), default=1, show_default=True,
                 metavar="N", help="Threads within an operator to be fast with."),
    click.option("--min-channels", type=int, default=1, show_default=True, metavar="N",
                 help="Keep at least this many of every group."),
    click.option("--max-group-ratio", type=float, default=1.0, show_default=True, metavar="R",
                 help="Remove at most this share of any group."),
    click.option("--exclude", multiple=True, metavar="GLOB",
                 help="Leave groups alone by id, parameter or node; may be repeated."),
    click.option("--only", multiple=True, metavar="GLOB",
                 help="Touch only these groups; may be repeated."),
)  # fmt: skip


_CALIBRATION = (
    click.option("--calibration", metavar="PATH",
                 help="Unlabelled samples (.npz, .npy, a directory of them): choose with them and "
                 "repair the weights that stay. `synthetic` makes them up, which is worth little."),
    click.option("--calibration-entry", metavar="MODULE:FUNCTION",
                 help="Python code that yields samples, arrays by input; it is imported and run."),
    click.option("--samples", type=int, default=128, show_default=True, metavar="N",
                 help="Fit on at most this many of the samples."),
    click.option("--recovery", default="least-squares", show_default=True, metavar="NAME",
                 help="How weights are repaired with samples, see `onnxprune criteria`."),
)  # fmt: skip


def calibration_options(command: Decorated) -> Decorated:
    """Add the options that speak of samples."""
    for option in reversed(_CALIBRATION):
        command = option(command)
    return command


def plan_options(command: Decorated) -> Decorated:
    """Add the options that say what to remove."""
    for option in reversed(_PLAN):
        command = option(command)
    return command


def collect(given: dict[str, Any]) -> PlanOptions:
    """Return the options of a plan from the arguments of a command."""
    from onnxprune.planning.options import PlanOptions  # noqa: PLC0415  # not for --help

    options: Any = {k: v for k, v in given.items() if k in PlanOptions.__annotations__}
    collected: PlanOptions = options
    return collected
