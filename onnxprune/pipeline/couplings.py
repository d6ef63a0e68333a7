"""Let consumers of a value depend on each other as was asked for, or as loses the least."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxprune.analysis.expansion import couple, expand
from onnxprune.errors import NothingToPruneError
from onnxprune.pipeline.drop import measure_drop
from onnxprune.planning.segments import choose_forks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from onnxprune.analysis import Analysis
    from onnxprune.fidelity import Judge
    from onnxprune.pipeline.drafting import Made
    from onnxprune.planning.selection import Settings
    from onnxprune.stages import Stages

_CLEARLY = 0.05
"""Share of what the constrained draft loses by which an unconstrained one has to lose less."""


def couplings(analysis: Analysis, settings: Settings, *, judged: bool) -> list[Analysis]:
    """Return the analyses to draft plans with, the constrained one first.

    Args:
        analysis: the constrained analysis, or an unconstrained one, which is the only one then.
        settings: how to choose.
        judged: whether drafts can be judged, so that several may be tried.

    Raises:
        PlanMismatchError: an unconstrained analysis is given where a constrained one is wanted.
    """
    if settings.coupling == "constrained":
        return [couple(analysis, "constrained")]
    if settings.coupling == "unconstrained" or analysis.coupling == "unconstrained":
        return [couple(analysis, "unconstrained")]
    if judged:
        free = expand(analysis)
        return [analysis, free] if free.forks else [analysis]
    values = choose_forks(analysis, settings.target)
    return [expand(analysis, values=values) if values else analysis]


def least_drop(
    choices: Sequence[Analysis],
    draft: Callable[[Analysis], Made],
    judge: Judge,
    *,
    beside: Path,
    stages: Stages,
) -> Made:
    """Return the draft that loses least; a later choice has to be clearly better.

    Args:
        choices: analyses to try.
        draft: makes a draft.
        judge: tells what was lost.
        beside: drafts are written into a temporary directory beside this path.
        stages: times the measuring.

    Raises:
        NothingToPruneError: with none of them anything can leave.
    """
    if len(choices) == 1:
        return draft(choices[0])
    best: tuple[float, Made] | None = None
    refused: NothingToPruneError | None = None
    for choice in choices:
        try:
            made = draft(choice)
        except NothingToPruneError as error:
            refused = refused or error
            continue
        drop = measure_drop(made, judge, beside=beside, stages=stages)
        if best is None or drop < best[0] - _CLEARLY * abs(best[0]):
            best = drop, made
    if best is None:
        assert refused is not None
        raise refused
    return best[1]
