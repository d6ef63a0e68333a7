"""`onnxprune apply`: carry out a plan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from onnxprune.cli.options import (
    debug_option,
    dims_option,
    model_argument,
    report_option,
    verify_option,
)

if TYPE_CHECKING:
    from onnxprune.pipeline.state_dict import StateDictReport


@click.command()
@model_argument
@click.argument("plan", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="OUT",
              help="Where to write the pruned model.")  # fmt: skip
@click.option("--state-dict", nargs=2, type=click.Path(path_type=Path), metavar="IN OUT",
              help="Cut a framework's checkpoint (safetensors) as well, so that the pruned network "
              "can be trained there.")  # fmt: skip
@click.option("--mapping", type=click.Path(path_type=Path), metavar="FILE",
              help="JSON that says which weights of MODEL tensors of the checkpoint follow, where "
              "names and content do not tell.")  # fmt: skip
@click.option("--retrained", is_flag=True,
              help="MODEL may have other weights than the one that the plan was made for.",
              )  # fmt: skip
@dims_option
@verify_option
@report_option
@debug_option
def apply(  # noqa: PLR0913  # one per option
    *,
    model: Path,
    plan: Path,
    output: Path | None,
    state_dict: tuple[Path, Path] | None,
    mapping: Path | None,
    retrained: bool,
    dims: dict[str, int],
    check: bool,
    report: Path | None,
) -> None:
    """Carry out a plan on the model that it was made for.

    The same MODEL and PLAN give the same bytes on every machine.
    """
    from onnxprune import pipeline  # noqa: PLC0415  # not for --help
    from onnxprune.cli.outcome import show_outcome  # noqa: PLC0415
    from onnxprune.cli.progress import showing_progress  # noqa: PLC0415

    if output is None and state_dict is None:
        message = "wanted is an output: -o OUT, --state-dict IN OUT, or both"
        raise click.UsageError(message)
    if mapping is not None and state_dict is None:
        message = "--mapping goes with --state-dict"
        raise click.UsageError(message)
    if output is not None:
        with showing_progress() as progress:
            outcome = pipeline.apply(
                model, plan, output, dims=dims, verify=check, retrained=retrained, report=report,
                progress=progress,
            )  # fmt: skip
        show_outcome(outcome)
    if state_dict is not None:
        _show_checkpoint(
            pipeline.apply_to_state_dict(model, plan, *state_dict, mapping=mapping, dims=dims)
        )


def _show_checkpoint(done: StateDictReport) -> None:
    from onnxprune.cli.console import note, show  # noqa: PLC0415

    show(
        f"{len(done.cut)} tensors of the checkpoint cut, {len(done.kept)} as they were, "
        f"{len(done.repaired)} with repaired weights"
    )
    for text in done.notes:
        note(text)
