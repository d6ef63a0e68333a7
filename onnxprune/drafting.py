"""Make the draft of a plan, with samples or without."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from onnxprune.calibration import DEFAULT_SAMPLES, Entry, SampleSet, collect_samples
from onnxprune.errors import InvalidConfigError, NothingToPruneError, printable
from onnxprune.planning.options import make_settings
from onnxprune.planning.plans import make_draft
from onnxprune.recovery.registry import find_recovery
from onnxprune.recovery.repaired import draft_with_samples
from onnxprune.runtime.inputs import input_specs

if TYPE_CHECKING:
    from collections.abc import Callable

    from onnxprune.analysis import Analysis
    from onnxprune.calibration import Source
    from onnxprune.planning.options import PlanOptions
    from onnxprune.planning.plans import Draft

    Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class SampleOptions:
    """Where samples come from and what is done with them.

    Attributes:
        source: where they come from, None for no samples.
        count: how many are fitted on at most.
        recovery: name of the recovery.
    """

    source: Source | None = None
    count: int = DEFAULT_SAMPLES
    recovery: str = "least-squares"

    @classmethod
    def of(
        cls, calibration: Source | None, entry: str | None, count: int, recovery: str
    ) -> SampleOptions:
        """Return the options as given.

        Raises:
            InvalidConfigError: samples from two places, or an unknown recovery.
        """
        find_recovery(recovery)
        if calibration is not None and entry is not None:
            message = "samples are given as calibration and as calibration_entry"
            raise InvalidConfigError(message, hint="give one of them")
        return cls(Entry(entry) if entry is not None else calibration, count, recovery)

    def collect(self, analysis: Analysis, *, seed: int) -> SampleSet | None:
        """Read the samples, None when there are to be none.

        Raises:
            InvalidConfigError: they are missing, unreadable, or not what the inputs want.
        """
        if self.source is None:
            return None
        return collect_samples(
            self.source, input_specs(analysis.model.proto), dims=analysis.dims[0],
            samples=self.count, seed=seed,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Made:
    """A draft and what belongs to it.

    Attributes:
        analysis: the model that is cut, with its weights repaired if they were.
        draft: the plan and the model it makes.
        weights: content of the file of repaired weights, None when there are none.
    """

    analysis: Analysis
    draft: Draft
    weights: bytes | None = None


def make(
    analysis: Analysis,
    options: PlanOptions,
    samples: SampleSet | None,
    *,
    recovery: str,
    weights_name: str,
    data_name: str,
    progress: Progress | None = None,
) -> Made:
    """Choose what leaves, repair what stays where there are samples, and cut in memory.

    Args:
        analysis: the model.
        options: what to remove.
        samples: the samples, if any.
        recovery: name of the recovery.
        weights_name: name that the file of repaired weights has beside the plan.
        data_name: name that a data file of the output would have; it is part of the size.
        progress: called with (done, total).

    Raises:
        InvalidConfigError: an option that is out of its range.
        NothingToPruneError: nothing can leave.
        TargetError: the target is out of reach.
    """
    settings = make_settings(options, samples=samples is not None)
    if samples is not None:
        found = draft_with_samples(
            analysis, settings, samples.fit, recovery=recovery, file_name=weights_name,
            progress=progress,
        )  # fmt: skip
        return Made(found.analysis, found.draft, found.file_content())
    size = analysis.model.size_bytes
    if settings.target.metric == "bytes" and size <= settings.target.amount:
        message = f"'{printable(analysis.model.path)}' has {size} bytes, which is within the target"
        raise NothingToPruneError(message, hint="ask for fewer bytes")
    return Made(analysis, make_draft(analysis, settings, data_name=data_name))
