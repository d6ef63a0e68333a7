"""Progress on a terminal, and nothing anywhere else."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnxprune.stages import Progress

_STAGES = {
    "load": "reading the model",
    "analyze": "finding coupled groups",
    "plan": "choosing what leaves",
    "calibrate": "choosing and repairing with samples",
    "apply": "writing the model",
    "verify": "comparing with the masked original",
    "measure": "measuring what is lost",
}


@contextmanager
def showing_progress() -> Iterator[Progress | None]:
    """Yield a function that shows progress on stderr, or None where that is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console  # noqa: PLC0415  # costs time that pipes need not spend
    from rich.progress import BarColumn, SpinnerColumn, TextColumn  # noqa: PLC0415
    from rich.progress import Progress as Bars  # noqa: PLC0415

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24))
    console = Console(file=sys.stderr, markup=False)
    with Bars(*columns, console=console, transient=True) as bars:
        task = bars.add_task("starting", total=None)

        def show(stage: str, done: int, total: int) -> None:
            bars.update(
                task, description=_STAGES.get(stage, stage), completed=done, total=total or None
            )

        yield show
