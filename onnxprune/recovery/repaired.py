"""Drafts with repaired weights: from samples, or from the file that lies beside a plan."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from onnxprune.errors import PlanMismatchError
from onnxprune.planning.plans import Draft, draft_of, find_culprit, with_layout
from onnxprune.recovery.calibrated import Calibrated, calibrate, repaired_analysis
from onnxprune.recovery.repairs import describe_repairs, load_repairs, serialise

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import numpy as np

    from onnxprune.analysis import Analysis
    from onnxprune.core.plan import PrunePlan
    from onnxprune.planning.selection import Settings
    from onnxprune.runtime.feeds import Feed

    Progress = Callable[[int, int], None]

_MOST_DROPPED = 4


@dataclass(frozen=True, slots=True)
class RepairedDraft:
    """A draft, and the analysis of the full-size model with repaired weights that it cuts.

    Attributes:
        analysis: the repaired model.
        draft: what it is cut to.
        weights: repaired weights by initializer.
        biases: new biases by the output of their node.
        seconds: time by part of the calibration.
    """

    analysis: Analysis
    draft: Draft
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    biases: dict[str, np.ndarray] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)

    def file_content(self) -> bytes | None:
        """Return the content of the file of repaired weights, None when there are none."""
        if self.draft.plan.repair is None:
            return None
        return serialise(self.weights, self.biases)


def draft_with_samples(
    analysis: Analysis,
    settings: Settings,
    feeds: Sequence[Feed],
    *,
    recovery: str,
    file_name: str,
    progress: Progress | None = None,
) -> RepairedDraft:
    """Choose what leaves with samples, repair the rest, and carry the plan out in memory.

    Args:
        analysis: the model.
        settings: how to choose.
        feeds: the samples.
        recovery: name of the recovery.
        file_name: name that the file of repaired weights has beside the plan.
        progress: called with (done, total).

    Raises:
        InvalidConfigError: samples that do not fit the model, an unknown method.
        NothingToPruneError: nothing can leave.
        TargetError: the target is out of reach.
        PlanMismatchError: too many groups cannot follow the cut.
    """
    dropped: dict[str, str] = {}
    seconds: Counter[str] = Counter()
    while True:
        found = calibrate(
            analysis, settings, feeds, recovery=recovery, without=dropped, progress=progress,
        )  # fmt: skip
        seconds.update(found.seconds)
        repaired = repaired_analysis(analysis, found)
        plan = _with_repairs(found, file_name)
        plan, _ = with_layout(analysis, plan, settings)
        try:
            draft = draft_of(repaired, plan, original=analysis)
        except PlanMismatchError as error:
            if len(dropped) >= _MOST_DROPPED:
                raise
            group, reason = find_culprit(repaired, plan, error)
            dropped[group] = reason
        else:
            return RepairedDraft(
                repaired, replace(draft, dropped=dropped), found.weights, found.biases, seconds
            )


def _with_repairs(found: Calibrated, file_name: str) -> PrunePlan:
    if not found.weights and not found.biases:
        return found.plan
    repair = describe_repairs(file_name, found.weights, found.biases)
    return found.plan.model_copy(update={"repair": repair})


def with_repaired_weights(analysis: Analysis, plan: PrunePlan, directory: Path | None) -> Analysis:
    """Return the analysis of the model with the repaired weights of a plan.

    Args:
        analysis: the model.
        plan: the plan.
        directory: where its file lies, None when the plan did not come from a file.

    Raises:
        PlanMismatchError: the weights are missing or belong to another plan.
    """
    if plan.repair is None:
        return analysis
    if directory is None:
        message = "the plan has repaired weights, which lie beside its file"
        raise PlanMismatchError(message, hint="give the path of the plan")
    weights, biases = load_repairs(plan, directory)
    return repaired_analysis(analysis, Calibrated(plan, weights, biases))
