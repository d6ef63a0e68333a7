"""Make the draft of a plan, with samples or without."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from onnxprune.allocation import Target
from onnxprune.calibration import DEFAULT_SAMPLES, Entry, SampleSet, collect_samples
from onnxprune.errors import InvalidConfigError, NothingToPruneError, TargetError, printable
from onnxprune.pipeline.alignment import find_alignment, with_alignment
from onnxprune.pipeline.copycosts import with_costs
from onnxprune.planning.options import make_settings
from onnxprune.planning.plans import described, estimated_size, file_size, make_draft
from onnxprune.providers.spec import parse_spec
from onnxprune.recovery.registry import RECOVERIES
from onnxprune.recovery.repaired import draft_with_samples
from onnxprune.runtime.inputs import input_specs
from onnxprune.verification import runnable_recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from onnxprune.analysis import Analysis
    from onnxprune.calibration import Source
    from onnxprune.pipeline.latency import Outcome
    from onnxprune.planning.options import PlanOptions
    from onnxprune.planning.plans import Draft
    from onnxprune.planning.selection import Settings

    Progress = Callable[[int, int], None]

_MOST_TIGHTENED = 5
"""Drafts until one is as small as wanted."""


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
        RECOVERIES.find(recovery)
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
            self.source, input_specs(analysis.model.proto),
            recipe=lambda: runnable_recipe(analysis), samples=self.count, seed=seed,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Made:
    """A draft and what belongs to it.

    Attributes:
        analysis: the model that is cut, with its weights repaired if they were.
        draft: the plan and the model it makes.
        weights: content of the file of repaired weights, None when there are none.
        latency: how a target on latency was met, None without one.
        seconds: time by part of the calibration, that of every attempt included.
    """

    analysis: Analysis
    draft: Draft
    weights: bytes | None = None
    latency: Outcome | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)


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
        ProviderUnavailableError: latency cannot be measured on the provider.
    """
    settings = make_settings(options, samples=samples is not None)
    settings = with_costs(analysis, settings, options)
    seconds: Counter[str] = Counter()

    def carry_out(chosen: Settings) -> Made:
        if samples is None:
            draft = make_draft(analysis, chosen)
            return Made(analysis, replace(draft, costs=chosen.layer_costs))
        found = draft_with_samples(
            analysis, chosen, samples.fit, recovery=recovery, file_name=weights_name,
            progress=progress,
        )  # fmt: skip
        seconds.update(found.seconds)
        draft = replace(found.draft, costs=chosen.layer_costs)
        return Made(found.analysis, draft, found.file_content(), seconds=seconds)

    spec, threads = parse_spec(options.get("provider") or "cpu"), options.get("threads", 1)
    align = options.get("align")
    ratio = options.get("max_latency_ratio")
    if ratio is not None:
        from onnxprune.pipeline.latency import Aim, aim_at  # noqa: PLC0415  # loads what measures

        made, outcome = aim_at(
            analysis, Aim(ratio, spec, threads), settings, carry_out,
            auto_align=align in (None, "auto"), progress=progress,
        )  # fmt: skip
        return replace(made, latency=outcome)
    size = analysis.model.size_bytes
    if settings.target.metric == "bytes" and size <= settings.target.amount:
        message = f"'{printable(analysis.model.path)}' has {size} bytes, which is within the target"
        raise NothingToPruneError(message, hint="ask for fewer bytes")

    def meet(chosen: Settings) -> Made:
        if chosen.target.metric == "bytes":
            return _small_enough(carry_out, chosen, data_name)
        return carry_out(chosen)

    aligned = find_alignment(analysis, settings, options)
    if aligned is None:
        return meet(settings)
    try:
        return meet(with_alignment(analysis, settings, aligned))
    except (TargetError, NothingToPruneError):
        if align == "auto" or aligned.step == 1:
            raise
    return meet(settings)  # nobody asked for steps, and they keep the target out of reach


def _small_enough(
    carry_out: Callable[[Settings], Made], settings: Settings, data_name: str
) -> Made:
    """Return a draft whose file is as small as wanted.

    Constants that follow the cut, copies, new biases and the provenance take bytes that no choice
    counts: as many fewer are asked for next.

    Raises:
        TargetError: none is small enough.
    """
    wanted = settings.target.amount
    excess = extra = 0.0
    for _ in range(_MOST_TIGHTENED):
        made = carry_out(replace(settings, target=Target("bytes", wanted - extra)))
        draft = described(made.analysis, made.draft, {"amount": wanted})
        excess = file_size(made.analysis, draft, data_name) - wanted
        if excess <= 0:
            return replace(made, draft=draft)
        size = estimated_size(made.analysis, draft.cut, draft.plan.apart or ())
        extra = max(extra, wanted + excess - size)
    message = f"no choice brings the file to {wanted:.0f} bytes: {excess:.0f} too many remain"
    raise TargetError(message, hint="lower the target a little")
