"""Prune as much as a drop in fidelity, or of the user's metric, permits."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from onnxprune.errors import InvalidConfigError, NothingToPruneError, TargetError
from onnxprune.fidelity.search import search
from onnxprune.io import write_model
from onnxprune.planning.options import PlanOptions, requested

if TYPE_CHECKING:
    from collections.abc import Callable

    from onnxprune.fidelity import Judge, SearchStep
    from onnxprune.pipeline.drafting import Made
    from onnxprune.stages import Stages


def check_drop(options: PlanOptions, max_drop: float | None, *, judged: bool) -> PlanOptions:
    """Return the options of the first trial.

    Args:
        options: what was asked for.
        max_drop: what may be lost, None for another target.
        judged: whether there is anything to judge with.

    Raises:
        InvalidConfigError: the drop is no number from 0, is one of two targets, or cannot be told.
    """
    if max_drop is None:
        return options
    others = requested(options)
    if others:
        message = f"max_drop is a target of its own; given is {' and '.join(others)} as well"
        raise InvalidConfigError(message, hint="give one of them")
    if not (math.isfinite(max_drop) and max_drop >= 0):
        message = f"max_drop is {max_drop}, wanted is a number from 0"
        raise InvalidConfigError(message, hint="0.01 loses at most a hundredth")
    if not judged:
        message = "max_drop needs something to judge with, and there is neither data nor a metric"
        raise InvalidConfigError(message, hint="give --calibration or --metric")
    return PlanOptions(**{**options, "remove_macs": 0.5})


def measure_drop(made: Made, judge: Judge, *, beside: Path, stages: Stages) -> float:
    """Return what a draft loses.

    Args:
        made: the draft.
        judge: tells what was lost; it has samples that were held back, or a metric.
        beside: the draft is written into a temporary directory beside this path.
        stages: times the measuring.
    """
    model, rewritten = made.analysis.model, made.draft.rewritten
    with (
        stages.stage("measure") as step,
        tempfile.TemporaryDirectory(prefix=".onnxprune-", dir=beside.absolute().parent) as folder,
    ):
        path = Path(folder) / "trial.onnx"
        write_model(
            rewritten.proto, path, source=model, arrays=rewritten.arrays,
            external=model.external or None,
        )  # fmt: skip
        drop = judge.judge(path, progress=step).drop
    assert drop is not None
    return drop


def search_drop(
    trial: Callable[[PlanOptions], Made],
    options: PlanOptions,
    judge: Judge,
    limit: float,
    *,
    beside: Path,
    stages: Stages,
) -> tuple[Made, list[SearchStep]]:
    """Find the largest fraction of the multiply-accumulates that may leave.

    Args:
        trial: makes a draft.
        options: the options of a trial, but for its target.
        judge: tells what was lost.
        limit: what may be lost.
        beside: trials are written into a temporary directory beside this path.
        stages: times the measuring.

    Raises:
        InvalidConfigError: there are too few samples to hold some back, and no metric.
        TargetError: even the smallest step loses more.
    """
    if not judge.held and not judge.metric:
        message = "max_drop is judged on held-back samples, and there are too few for that"
        raise InvalidConfigError(message, hint="give ten samples at least, or a metric")

    def attempt(fraction: float) -> tuple[float, Made]:
        try:
            made = trial(PlanOptions(**{**options, "remove_macs": fraction}))
        except NothingToPruneError as error:
            raise TargetError(error.message, hint=error.hint) from error
        return measure_drop(made, judge, beside=beside, stages=stages), made

    found = search(attempt, limit)
    return found.result, found.steps
