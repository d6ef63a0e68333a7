"""Latency as a target: predict, prune, measure, correct, until the measured ratio is small enough.

A profile of the original and a table of layers say what a cut saves (`onnxprune.costs`). What is
made on that ground is measured against the original as `onnxprune bench` does; by how much the
prediction was wrong corrects the next one. What counts is the upper end of the measured interval.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from onnxprune.allocation import Target
from onnxprune.bench.profile import Profile, profile_model
from onnxprune.bench.protocol import Protocol
from onnxprune.bench.run import benchmark
from onnxprune.core.shapes import concretize
from onnxprune.costs.align import Alignment, choose_alignment
from onnxprune.costs.collect import Collection, identity_of, open_collection
from onnxprune.costs.network import NetworkCosts, layers_of, price_network
from onnxprune.errors import ProviderUnavailableError, TargetError
from onnxprune.io import write_model
from onnxprune.pipeline.alignment import with_alignment
from onnxprune.planning.plans import stamp
from onnxprune.planning.selection import make_candidates, score_context
from onnxprune.report.models import LatencyEntry, LatencyRound

if TYPE_CHECKING:
    from collections.abc import Callable

    from onnxprune.analysis import Analysis
    from onnxprune.bench.document import ComparisonEntry
    from onnxprune.pipeline.drafting import Made
    from onnxprune.planning.selection import Settings
    from onnxprune.providers.spec import ProviderSpec

    Make = Callable[[Settings], Made]
    Progress = Callable[[int, int], None]

__all__ = ["Aim", "Iteration", "Outcome", "Pricing", "aim_at", "latency_entry", "price"]

_MOST_ITERATIONS: Final = 8
_SLACK: Final = 0.05
"""An upper end this far below what was asked for is too good: more could have stayed."""

_MARGIN: Final = 0.995
_BUDGET_S: Final = 30.0
_MOST_BUDGET_S: Final = 90.0
_NOT_QUITE: Final = 1.002


@dataclass(frozen=True, slots=True)
class Aim:
    """What is wanted.

    Attributes:
        ratio: time of the pruned model relative to the original's, at most.
        spec: the provider.
        threads: threads within an operator.
    """

    ratio: float
    spec: ProviderSpec
    threads: int = 1


@dataclass(frozen=True, slots=True)
class Pricing:
    """What the network costs on the provider.

    Attributes:
        network: predicts the time under a cut.
        collection: the table behind it.
        profile: the original as it ran.
        alignment: the step of channels that pays, and where that is known from.
    """

    network: NetworkCosts
    collection: Collection
    profile: Profile
    alignment: Alignment


@dataclass(frozen=True, slots=True)
class Iteration:
    """One round: what was predicted, and what was measured.

    Attributes:
        predicted: ratio of times.
        ratio: as measured.
        low: lower end of its interval.
        high: upper end.
        trusted: whether the original was found equal to itself.
        macs: multiply-accumulates that remain, as a fraction.
    """

    predicted: float
    ratio: float
    low: float
    high: float
    trusted: bool
    macs: float


@dataclass(slots=True)
class Outcome:
    """How it went.

    Attributes:
        aim: what was wanted.
        chosen: the round whose result was taken.
        iterations: all rounds.
        align: the step of channels.
        align_source: where that is known from.
    """

    aim: Aim
    chosen: Iteration
    iterations: list[Iteration] = field(default_factory=list)
    align: int = 1
    align_source: str = ""


def latency_entry(outcome: Outcome) -> LatencyEntry:
    """Return what a report keeps of a search."""
    chosen = outcome.chosen
    return LatencyEntry(
        requested=outcome.aim.ratio, predicted=chosen.predicted, ratio=chosen.ratio,
        ci95=(chosen.low, chosen.high), provider=outcome.aim.spec.text,
        threads=outcome.aim.threads, align=outcome.align, align_source=outcome.align_source,
        iterations=[
            LatencyRound(
                predicted=i.predicted, ratio=i.ratio, ci95=(i.low, i.high), trusted=i.trusted,
                macs=i.macs,
            )
            for i in outcome.iterations
        ],
    )  # fmt: skip


def price(
    analysis: Analysis, spec: ProviderSpec, *, threads: int = 1, progress: Progress | None = None
) -> Pricing:
    """Find out what a network's nodes take on a provider.

    Args:
        analysis: the network.
        spec: the provider.
        threads: threads within an operator.
        progress: called with (done, total) while layers are measured.

    Raises:
        ProviderUnavailableError: the provider is missing, or did not run the model rightly.
    """
    profile = profile_model(Path(analysis.model.path), spec, threads=threads, dims=analysis.given)
    examination = profile.examination
    identity = identity_of(spec, threads, examination.runtime_version, examination.availability)
    collection = open_collection(spec, identity, progress=progress)
    graph = analysis.deps.graph
    [shapes] = concretize(graph, analysis.model.array, [profile.subject.dims])
    alignment = choose_alignment(layers_of(graph, shapes), collection.table, spec)
    network = price_network(graph, shapes, collection.table, profile.node_us)
    return Pricing(network, collection, profile, alignment)


def aim_at(
    analysis: Analysis,
    aim: Aim,
    settings: Settings,
    make: Make,
    *,
    auto_align: bool,
    progress: Progress | None = None,
) -> tuple[Made, Outcome]:
    """Prune until the measured ratio of times is small enough.

    Args:
        analysis: the original.
        aim: what is wanted.
        settings: how to choose; target, costs and alignment are set here.
        make: makes a draft with some settings.
        auto_align: whether the provider's step of channels is to be kept.
        progress: called with (done, total) while layers are measured.

    Raises:
        TargetError: it is out of reach; the message says what the best was.
        ProviderUnavailableError: the provider is missing, or did not run a model rightly.
        NothingToPruneError: nothing can leave.
    """
    priced = price(analysis, aim.spec, threads=aim.threads, progress=progress)
    if auto_align:
        settings = with_alignment(analysis, settings, priced.alignment)
    search = _Search(analysis, aim, replace(settings, costs=priced.network), priced, make)
    draft, chosen = search.run()
    plan = draft.draft.plan
    described: dict[str, Any] = {
        **plan.settings, "amount": aim.ratio, "provider": aim.spec.text, "threads": aim.threads,
    }  # fmt: skip
    plan = plan.model_copy(update={"settings": described})
    stamp(draft.draft.rewritten.proto, analysis, plan)
    draft = replace(draft, draft=replace(draft.draft, plan=plan))
    return draft, Outcome(
        aim, chosen, search.iterations, settings.limits.align, settings.align_source
    )


@dataclass(slots=True)
class _Search:
    """The rounds."""

    analysis: Analysis
    aim: Aim
    settings: Settings
    priced: Pricing
    make: Make
    iterations: list[Iteration] = field(default_factory=list)
    best: tuple[Made, Iteration] | None = None
    budget_s: float = _BUDGET_S

    def run(self) -> tuple[Made, Iteration]:
        """Return the largest model that is fast enough."""
        wanted = self.aim.ratio
        goal = wanted * _MARGIN
        seen: set[tuple[str, float]] = set()
        at_most = False
        for _ in range(_MOST_ITERATIONS):
            least = self._least()
            if goal <= least:  # all that can leave may still do: predictions err
                if at_most:
                    break
                goal, at_most = least * _NOT_QUITE, True
            draft = self._draft(goal, seen)
            if draft is None:
                break
            found = self._try(draft)
            if found.trusted and found.high <= wanted:
                if self.best is None or found.ratio > self.best[1].ratio:
                    self.best = draft, found
                if found.high >= wanted * (1.0 - _SLACK):
                    break
            goal = self._next_goal(found)
        if self.best is None:
            raise self._out_of_reach()
        return self.best

    def _draft(self, goal: float, seen: set[tuple[str, float]]) -> Made | None:
        """Return what is predicted to take a share of the time, None when that brings no more."""
        try:
            draft = self.make(replace(self.settings, target=Target("latency", 1.0 - goal)))
        except TargetError:
            if not self.iterations:
                raise
            return None
        attempt = (draft.draft.plan.digest, self.budget_s)
        if attempt in seen:
            return None
        seen.add(attempt)
        return draft

    def _least(self) -> float:
        """Return the smallest ratio that is predicted for any cut."""
        deps = self.analysis.deps
        settings = replace(self.settings, criterion="l1")  # the order does not matter
        context = score_context(self.analysis, settings)
        candidates = make_candidates(self.analysis, settings, context)
        atoms = [c.atoms(c.limit) for c in candidates]
        return self.priced.network.ratio(deps, deps.removed_labels(np.concatenate(atoms)))

    def _try(self, draft: Made) -> Iteration:
        deps = self.analysis.deps
        predicted = self.priced.network.ratio(deps, draft.draft.removed)
        measured = self._measure(draft)
        found = Iteration(
            predicted=round(predicted, 5), ratio=measured.ratio, low=measured.ci95[0],
            high=measured.ci95[1], trusted=measured.self_test.passed,
            macs=draft.draft.plan.predicted["macs"],
        )  # fmt: skip
        self.iterations.append(found)
        return found

    def _next_goal(self, found: Iteration) -> float:
        """Correct the prediction, and leave room for the interval."""
        self.priced.network.factor *= found.ratio / found.predicted
        spread = found.high / found.ratio
        wide = not found.trusted or spread > 1.0 + _SLACK / 2
        if wide and self.budget_s < _MOST_BUDGET_S:
            self.budget_s = min(_MOST_BUDGET_S, 2 * self.budget_s)
            spread = min(spread, 1.0 + _SLACK)  # more time makes it narrower
        return self.aim.ratio / spread * _MARGIN

    def _measure(self, draft: Made) -> ComparisonEntry:
        rewritten = draft.draft.rewritten
        with tempfile.TemporaryDirectory(prefix="onnxprune-") as folder:
            path = Path(folder) / "candidate.onnx"
            write_model(
                rewritten.proto, path, source=draft.analysis.model, arrays=rewritten.arrays,
                external=draft.analysis.model.external or None,
            )  # fmt: skip
            report = benchmark(
                [self.analysis.model.path, path], providers=(self.aim.spec,),
                threads=(self.aim.threads,), dims=self.priced.profile.subject.dims,
                protocol=Protocol(time_budget_s=self.budget_s),
            )  # fmt: skip
        for failure in report.failures:
            raise ProviderUnavailableError(failure.error, hint=failure.hint)
        if not report.comparisons:
            message = f"provider '{self.aim.spec.text}' is an emulator here: it has no latency"
            raise ProviderUnavailableError(message, hint="measure on the device itself")
        return report.comparisons[0]

    def _out_of_reach(self) -> TargetError:
        best = min(self.iterations, key=lambda i: (not i.trusted, i.high))
        message = (
            f"a latency ratio of {self.aim.ratio:g} is out of reach on {self.aim.spec.text} with "
            f"{self.aim.threads} threads: the best of {len(self.iterations)} rounds measured "
            f"{best.ratio:.3f} [{best.low:.3f}, {best.high:.3f}] with {best.macs:.1%} of the MACs"
        )
        if not best.trusted:
            message += "; the machine was too uneven for a result"
        return TargetError(message, hint="raise the ratio, or lower --min-channels or --align")
