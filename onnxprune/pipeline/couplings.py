"""Let consumers of a value depend on each other as was asked for, or as loses the least."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from onnxprune.analysis.expansion import couple, expand
from onnxprune.errors import NothingToPruneError, TargetError
from onnxprune.pipeline.alignment import find_alignment, with_alignment
from onnxprune.pipeline.copycosts import measured_costs
from onnxprune.pipeline.drop import measure_drop
from onnxprune.planning.predictions import predicted_us
from onnxprune.planning.segments import CLEARLY, choose_forks
from onnxprune.planning.selection import make_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from onnxprune.analysis import Analysis
    from onnxprune.costs import LayerCosts
    from onnxprune.costs.align import Alignment
    from onnxprune.fidelity import Judge
    from onnxprune.pipeline.drafting import Made
    from onnxprune.planning.options import PlanOptions
    from onnxprune.planning.selection import Settings
    from onnxprune.stages import Stages

_CLEARLY = 0.05
"""Share of what the constrained draft loses by which an unconstrained one has to lose less."""


def couplings(
    analysis: Analysis, settings: Settings, options: PlanOptions, *, judged: bool
) -> list[Analysis]:
    """Return the analyses to draft plans with, the constrained one first.

    Args:
        analysis: the constrained analysis, or an unconstrained one, which is the only one then.
        settings: how to choose.
        options: the provider and threads to be fast with.
        judged: whether drafts can be judged, so that several may be tried.

    Raises:
        PlanMismatchError: an unconstrained analysis is given where a constrained one is wanted.
    """
    if settings.coupling == "constrained":
        return [couple(analysis, "constrained")]
    if settings.coupling == "unconstrained" or analysis.coupling == "unconstrained":
        return [couple(analysis, "unconstrained")]
    free = expand(analysis)
    if judged:
        return [analysis, free] if free.forks else [analysis]
    costs, _ = measured_costs(free, options)
    found = find_alignment(analysis, settings, options)
    step = settings.limits.align if found is None else found.step
    values = choose_forks(free, settings.target, step=step, costs=costs)
    choices = [analysis, free] if free.forks else [analysis]
    if values and values != free.forks:
        choices.insert(0, expand(analysis, values=values))
    elif values:
        choices.reverse()
    if settings.target.metric == "ratio" or len(choices) == 1:  # a ratio saves what it saves
        return choices[:1]
    # What was expected of them is put to the test: a plan for each, the expected best first.
    times = [_time(choice, settings, found, costs) for choice in choices]
    limit = min(times) * (1 + CLEARLY)
    return [next(c for us, c in zip(times, choices, strict=True) if us <= limit)]


def _time(
    analysis: Analysis, settings: Settings, found: Alignment | None, costs: LayerCosts | None
) -> float:
    """Return what a plan takes by prediction, whose choice within groups does not matter."""
    settings = replace(settings, criterion="l2", allocation="")
    if found is not None:
        settings = with_alignment(analysis, settings, found)
    try:
        return predicted_us(analysis, make_plan(analysis, settings), costs)
    except (NothingToPruneError, TargetError):
        return math.inf


def least_drop(
    choices: Sequence[Analysis],
    draft: Callable[[Analysis], Made],
    judge: Judge,
    *,
    beside: Path,
    stages: Stages,
    time: Callable[[Made], float] | None = None,
) -> Made:
    """Return the draft that loses least; a later choice has to be clearly better.

    Where all drafts meet a budget, one that clearly takes longer by prediction is none of them.

    Args:
        choices: analyses to try.
        draft: makes a draft.
        judge: tells what was lost.
        beside: drafts are written into a temporary directory beside this path.
        stages: times the measuring.
        time: predicts the time of a draft, None where drafts need not be as fast as each other.

    Raises:
        NothingToPruneError: with none of them anything can leave.
    """
    if len(choices) == 1:
        return draft(choices[0])
    drafts: list[Made] = []
    refused: NothingToPruneError | None = None
    for choice in choices:
        try:
            drafts.append(draft(choice))
        except NothingToPruneError as error:
            refused = refused or error
    if time is not None and drafts:
        times = [time(made) for made in drafts]
        limit = min(times) * (1 + CLEARLY)
        drafts = [made for made, us in zip(drafts, times, strict=True) if us <= limit]
    if len(drafts) == 1:
        return drafts[0]
    best: tuple[float, Made] | None = None
    for made in drafts:
        drop = measure_drop(made, judge, beside=beside, stages=stages)
        if best is None or drop < best[0] - _CLEARLY * abs(best[0]):
            best = drop, made
    if best is None:
        assert refused is not None
        raise refused
    return best[1]
