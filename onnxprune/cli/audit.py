"""`onnxprune audit`: whom a pruned model has forgotten."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from onnxprune.cli.options import debug_option, json_option

if TYPE_CHECKING:
    from collections.abc import Sequence

_FILE = click.Path(path_type=Path)


def _severities(
    _ctx: click.Context, _param: click.Parameter, value: str
) -> tuple[int, ...]:  # fmt: skip
    """Parse `1,3,5`, or none."""
    if value == "none":
        return ()
    parts = value.split(",")
    if any(part.strip() not in {"1", "2", "3", "4", "5"} for part in parts):
        message = f"'{value}' is neither numbers from 1 to 5 with commas between, nor none"
        raise click.BadParameter(message)
    return tuple(int(part) for part in parts)


@click.command()
@click.argument("original", type=_FILE)
@click.argument("pruned", type=_FILE, nargs=-1, required=True)
@click.option("--data", type=_FILE, required=True, metavar="PATH",
              help="Samples: .npz, .npy or a directory of them, as for --calibration.")  # fmt: skip
@click.option("--labels", type=_FILE, required=True, metavar="FILE",
              help="The class of each sample: .npy, .npz, .json or .csv.")  # fmt: skip
@click.option("--groups", type=_FILE, metavar="FILE",
              help="The subgroup of each sample, likewise.")  # fmt: skip
@click.option("--replicas", type=click.IntRange(min=0), default=0, show_default=True, metavar="N",
              help="Prune anew, on so many bootstrap resamples of the calibration data, to see "
              "which answers stay changed.")  # fmt: skip
@click.option("--plan", type=_FILE, metavar="FILE",
              help="For --replicas: the plan that PRUNED was made with.")  # fmt: skip
@click.option("--calibration", type=_FILE, metavar="PATH",
              help="For --replicas: the samples that the plan was made with.")  # fmt: skip
@click.option("--output", metavar="NAME",
              help="The output with class scores; by default the first that has some.",
              )  # fmt: skip
@click.option("--severities", default="1,3,5", show_default=True, metavar="LIST",
              callback=_severities,
              help="How much samples are corrupted, from 1 to 5; none for not at all.",
              )  # fmt: skip
@click.option("--threads", type=click.IntRange(min=0), default=1, show_default=True, metavar="N",
              help="Threads within an operator, 0 leaves it to the runtime.")  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N",
              help="Seed of resampling and of noise.")  # fmt: skip
@json_option
@debug_option
def audit(  # noqa: PLR0913  # one per option
    *,
    original: Path,
    pruned: Sequence[Path],
    data: Path,
    labels: Path,
    groups: Path | None,
    replicas: int,
    plan: Path | None,
    calibration: Path | None,
    output: str | None,
    severities: tuple[int, ...],
    threads: int,
    seed: int,
    json_path: Path | None,
) -> None:
    """Find samples, classes and subgroups that PRUNED has forgotten.

    Both models run on labelled samples. Which classes and subgroups lost more than the others is
    decided by an exact test with Holm's correction; corrupted samples show whether the network
    became easier to disturb. The first PRUNED is audited, further ones, and --replicas, only tell
    which answers stay changed.
    """
    from onnxprune.audit import audit as run_audit  # noqa: PLC0415  # not for --help
    from onnxprune.audit.table import audit_tables  # noqa: PLC0415
    from onnxprune.cli.console import STDOUT, note, show, write_document  # noqa: PLC0415
    from onnxprune.cli.progress import showing_progress  # noqa: PLC0415
    from onnxprune.io.files import identity_of  # noqa: PLC0415
    from onnxprune.io.outfile import check_destination  # noqa: PLC0415

    inputs = [
        identity_of(path.stat())
        for path in (original, *pruned, data, labels, groups, plan)
        if path is not None and path.exists()
    ]
    if json_path not in (None, STDOUT):
        assert json_path is not None
        check_destination(json_path, inputs)
    with showing_progress() as progress:
        report = run_audit(
            original, *pruned, data=data, labels=labels, groups=groups, replicas=replicas,
            plan=plan, calibration=calibration, output=output, severities=severities,
            threads=threads, seed=seed, progress=progress,
        )  # fmt: skip
    if json_path is not None:
        write_document(report, json_path, inputs)
    if json_path != STDOUT:
        show(*audit_tables(report))
    for text in report.notes:
        note(text)
