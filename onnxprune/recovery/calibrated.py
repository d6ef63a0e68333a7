"""Plan with samples: choose in order on the repaired network, and hand back repaired weights.

The work runs in a child process with limits, because the model is a stranger's.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.allocation.knapsack import Offer, knapsack
from onnxprune.analysis import Analysis, analyze_model
from onnxprune.analysis.expansion import expand
from onnxprune.core.branches import dead_nodes, readers_of
from onnxprune.core.dependencies import analyze_graph
from onnxprune.core.graph import build_graph
from onnxprune.core.plan import PrunePlan
from onnxprune.core.shapes import concretize
from onnxprune.criteria import find_criterion
from onnxprune.errors import InvalidConfigError, NothingToPruneError
from onnxprune.planning.selection import (
    Settings,
    choose_groups,
    describe_score,
    describe_settings,
    leaving,
    make_candidate_of,
    plan_group,
    score_context,
    what_remains,
)
from onnxprune.recovery.activity import consumer_stats
from onnxprune.recovery.allocate import share_out
from onnxprune.recovery.branches import inline_branches
from onnxprune.recovery.curves import Curve, group_curve, with_company
from onnxprune.recovery.dense import dense_moments
from onnxprune.recovery.depth import Removed, Thinner
from onnxprune.recovery.effort import measure
from onnxprune.recovery.folds import fold_batches
from onnxprune.recovery.inorder import InOrder, Outcome, Repaired
from onnxprune.recovery.offers import flat_curve, offer
from onnxprune.recovery.probe_network import Network
from onnxprune.recovery.registry import NONE, RECOVERIES
from onnxprune.recovery.repair import Settings as RepairSettings
from onnxprune.recovery.sites import Site, find_sites
from onnxprune.recovery.streams import Stream, shared_streams, whole_steps
from onnxprune.recovery.together import JOINTLY, improve
from onnxprune.rewrite.repaired import with_repairs
from onnxprune.runtime.batches import single_samples
from onnxprune.runtime.gates import LabelGates
from onnxprune.runtime.inputs import input_specs
from onnxprune.runtime.isolate import run_isolated
from onnxprune.runtime.segment import Program
from onnxprune.runtime.stream import TwinStream

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from onnxprune.core.groups import Group
    from onnxprune.core.steps import Candidate
    from onnxprune.recovery.moments import Moments
    from onnxprune.runtime.feeds import Array, Feed

    Progress = Callable[[int, int], None]
    Scores = NDArray[np.float64]

__all__ = ["Calibrated", "calibrate", "in_child", "repaired_analysis"]

TIMEOUT_S = 3600.0
MEMORY_BYTES = 12 << 30
_PROBE_SAMPLES = 48
_WITHOUT_EVIDENCE = "l2"


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A plan with repaired weights.

    Attributes:
        plan: what leaves.
        weights: repaired content by parameter, full size.
        biases: new biases by the output of their node.
        repairs: what was done at each operator, in order.
        seconds: time by stage.
    """

    plan: PrunePlan
    weights: dict[str, Array] = field(default_factory=dict)
    biases: dict[str, Array] = field(default_factory=dict)
    repairs: tuple[Repaired, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)


def calibrate(
    analysis: Analysis,
    settings: Settings,
    feeds: Sequence[Feed],
    *,
    recovery: str = "least-squares",
    without: Collection[str] = (),
    progress: Progress | None = None,
    timeout_s: float | None = TIMEOUT_S,
    memory_limit_bytes: int | None = MEMORY_BYTES,
) -> Calibrated:
    """Choose what leaves and repair what stays, in a child process.

    Args:
        analysis: the model.
        settings: how to choose; criterion `obs` chooses in order on the repaired network.
        feeds: unlabelled samples.
        recovery: name of the recovery.
        without: ids of groups that stay whatever the settings say.
        progress: called with (done, total).
        timeout_s: time limit.
        memory_limit_bytes: memory limit.

    Raises:
        InvalidConfigError: an unknown recovery, criterion or allocation.
        NothingToPruneError: nothing can leave.
        TargetError: the target is out of reach.
        IsolationError: the model crashed, or ran into a limit.
    """
    RECOVERIES.find(recovery)
    found = run_isolated(
        "onnxprune.recovery.calibrated:in_child",
        {
            "path": analysis.model.path, "given": analysis.given, "settings": settings,
            "feeds": list(feeds), "recovery": recovery, "without": tuple(without),
            "forks": analysis.forks if analysis.coupling == "unconstrained" else None,
        },
        timeout_s=timeout_s, memory_limit_bytes=memory_limit_bytes, progress=progress,
        task="calibration",
    )  # fmt: skip
    assert isinstance(found, Calibrated)
    return found


def in_child(
    *,
    path: Path,
    given: Mapping[str, int],
    settings: Settings,
    feeds: Sequence[Feed],
    recovery: str,
    without: Collection[str] = (),
    forks: Collection[str] | None = None,
    progress: Progress | None = None,
) -> Calibrated:
    """Do the work of `calibrate` in this process."""
    analysis = analyze_model(path, dims=given)
    if forks is not None:
        analysis = expand(analysis, values=forks)
    return Calibration(analysis, settings, feeds, recovery, without=without).run(progress)


def repaired_analysis(analysis: Analysis, calibrated: Calibrated) -> Analysis:
    """Return the analysis of the model with its repaired weights, still full size.

    Rewriting and verifying it works as for any model: the masked original with repaired weights is
    what the pruned file has to equal.
    """
    if not calibrated.weights and not calibrated.biases:
        return analysis
    proto, _ = with_repairs(analysis.proto, calibrated.weights, calibrated.biases)
    graph = build_graph(proto)
    shapes = concretize(graph, analysis.model.array, [dict(d) for d in analysis.dims])
    changed = calibrated.weights.keys()
    copies = {c: o for c, o in analysis.copies.items() if c not in changed and o not in changed}
    return Analysis(
        analysis.model, proto, analyze_graph(graph, shapes), analysis.dims, copies, analysis.given,
        analysis.coupling, analysis.forks,
    )  # fmt: skip


class Calibration:
    """One run over a model and its samples."""

    def __init__(
        self,
        analysis: Analysis,
        settings: Settings,
        feeds: Sequence[Feed],
        recovery: str,
        *,
        without: Collection[str] = (),
    ) -> None:
        start = time.perf_counter()
        if not feeds:
            message = "there are no samples"
            raise InvalidConfigError(message, hint="give some with --calibration")
        self._analysis, self._settings, self._recovery = analysis, settings, recovery
        read, specs = analysis.model.array, input_specs(analysis.proto)
        single = single_samples(feeds, specs)
        proto, self._deps = analysis.proto, analysis.deps
        if not settings.depth:  # residual branches are known by their place in the file
            proto, self._deps = inline_branches(proto, analysis.deps, read, single)
        self._program = Program(proto, read)
        self._groups = choose_groups(analysis, settings, without=without)
        self._found = find_sites(self._deps)
        self._effort = measure(self._program, self._found.sites, single[0])
        self._batches, self._folds = fold_batches(
            self._program, self._found.sites, single, specs,
            copies=self._effort.copies(len(single)),
        )  # fmt: skip
        self._seconds: dict[str, float] = {}
        self._criterion = find_criterion(settings.criterion, samples=True)
        self._greedy: dict[str, NDArray[np.float64]] = {}
        self._gates: LabelGates | None = None
        self._context = replace(
            score_context(analysis, settings), gates=self._label_gates, greedy=self._greedy
        )
        self._removed: list[Removed] = []
        self._dead: frozenset[int] = frozenset()
        self._streams: list[Stream] = []
        self._lap("samples", start)

    def run(self, progress: Progress | None = None) -> Calibrated:
        """Return the plan and the repaired weights."""
        settings = self._settings
        allocation = settings.allocation or "knapsack"
        if allocation == "knapsack" and settings.target.metric == "ratio":
            allocation = "uniform"
        start = time.perf_counter()
        if isinstance(settings.depth, int) and settings.depth:
            self._leave(self._thinner().take(settings.depth))
            start = self._lap("depth", start)
        greedy, weighed = self._criterion.name == "obs", allocation == "knapsack"
        ordered = weighed or (greedy and allocation != "uniform")
        dense = self._dense(everywhere=ordered) if greedy or weighed else {}
        if greedy and weighed:
            read = {a for s in self._found.sites if s.number in dense for a in s.atoms().tolist()}
            able = [g for g in self._groups if read.issuperset(g.atoms.tolist())]
            self._streams = shared_streams(self._analysis.deps, able)
            self._groups = [*(s.group for s in self._streams), *self._groups]
        if self._criterion.samples and not greedy:
            stats = consumer_stats(self._deps, self._found, self._stream(), self._read)
            self._context = replace(self._context, consumers=stats)
        start = self._lap("moments", start)
        flat = [flat_curve(g) for g in self._groups]  # the walk scores every group itself
        curves = self._curves(dense, probe=weighed) if ordered else flat
        scored = [(c, self._scores(c.group, c.scores)) for c in curves]
        if settings.depth == "auto":
            self._leave(self._compete(scored))
        there = {g.id for g in self._groups}
        scored = [(c, s) for c, s in scored if c.group.id in there]
        start = self._lap("scores", start)
        candidates, wanted = self._share_out(allocation, scored)
        start = self._lap("allocation", start)
        outcome, stream = self._walk(candidates, wanted, dense, progress)
        start = self._lap("recovery", start)
        if self._together(outcome, stream, progress):
            self._lap("joint", start)
        return self._result(candidates, outcome, allocation)

    # ---- residual branches ---------------------------------------------------------------------

    def _thinner(self) -> Thinner:
        analysis = self._analysis
        return Thinner(self._program, analysis.deps, analysis.branches, self._few_batches())

    def _leave(self, removed: list[Removed]) -> None:
        """Take branches out: what only they need is neither chosen from nor repaired."""
        deps, settings = self._analysis.deps, self._settings
        self._removed = removed
        self._dead = dead_nodes(deps, [r.branch for r in removed])
        self._found = self._found.without(self._dead)
        readers = readers_of(deps)
        alone = settings.target.metric == "macs" and settings.target.amount == 0
        self._groups = [
            g for g in self._groups
            if not alone and any(readers.get(s.parameter, set()) - self._dead for s in g.slices)
        ]  # fmt: skip

    def _compete(self, scored: Sequence[tuple[Curve, Scores]]) -> list[Removed]:
        """Let branches and channels share out the target, and return the branches that leave.

        What a branch costs is measured without the repair that follows, what channels cost with
        it, so that a branch leaves only where it is the cheaper one for certain.
        """
        thinner = self._thinner()
        branches = thinner.branches
        damages = {b: thinner.damage([b]) for b in branches}
        candidates = [self._candidate(curve.group, scores) for curve, scores in scored]
        offers = [offer(curve, c) for (curve, _), c in zip(scored, candidates, strict=True)]
        offers += [Offer((0, 1), (0.0, damages[b])) for b in branches]

        def remaining(counts: Sequence[int]) -> float:
            taken = [b.dead for b, n in zip(branches, counts[len(scored) :], strict=True) if n]
            flags = leaving(self._analysis, candidates, counts[: len(scored)])
            return what_remains(
                self._analysis, self._settings, flags, frozenset[int]().union(*taken)
            )

        counts = knapsack(offers, self._settings.target.goal, remaining)[len(scored) :]
        chosen = [b for b, n in zip(branches, counts, strict=True) if n]
        chosen.sort(key=lambda b: damages[b])
        together = [thinner.damage(chosen[: i + 1]) for i in range(len(chosen))]
        return thinner.describe(list(zip(chosen, together, strict=True)))

    # ---- channels ------------------------------------------------------------------------------

    def _lap(self, name: str, start: float) -> float:
        now = time.perf_counter()
        self._seconds[name] = round(now - start, 3)
        return now

    def _read(self, key: str) -> Array:
        return self._analysis.model.array(self._analysis.deps.ctx.parameters[key].tensor)

    def _stream(self) -> TwinStream:
        return TwinStream(self._program, self._batches)

    def _share_out(
        self, allocation: str, scored: Sequence[tuple[Curve, Scores]]
    ) -> tuple[list[Candidate], dict[str, int]]:
        """Return the groups, and how many steps of each leave, with others or on their own."""
        try:
            share = share_out(
                self._analysis, self._settings, allocation, scored, dead=self._dead,
                distortion=lambda atoms: self._label_gates().distortion(atoms),
            )  # fmt: skip
        except NothingToPruneError:
            if not self._removed:
                raise
            return [], {}
        self._settings, candidates = share.settings, share.candidates
        wanted = {c.group.id: n for c, n in zip(candidates, share.counts, strict=True)}
        if not self._streams:
            return candidates, wanted
        plain = [c for c in candidates if not c.group.balances]
        balanced = [c.atoms(wanted[c.group.id]) for c in candidates if c.group.balances]

        def remaining(atoms: NDArray[np.int64]) -> float:
            removed = self._analysis.deps.removed_labels(np.concatenate([atoms, *balanced]))
            return what_remains(self._analysis, self._settings, removed, self._dead)

        flags = leaving(self._analysis, candidates, share.counts)
        goal = self._settings.target.goal
        return candidates, wanted | whole_steps(plain, flags, remaining, goal)

    def _dense(self, *, everywhere: bool) -> dict[int, list[Moments]]:
        """Return moments on the original network of all consumers, or of all but first ones."""
        owner = {int(a): g.id for g in self._groups for a in g.atoms}
        seen: set[str] = set()
        sites = []
        for site in self._found.sites:
            groups = {owner[a] for a in site.atoms().tolist() if a in owner}
            if site.groups == 1 and (groups if everywhere else groups & seen):
                sites.append(site)
            seen |= groups
        return dense_moments(self._stream(), sites, folds=self._folds)

    def _curves(self, dense: dict[int, list[Moments]], *, probe: bool) -> list[Curve]:
        sites = [s for s in self._found.sites if s.number in dense]
        measure = None
        if probe and sites:
            measure = Network(self._program, sites, self._read, self._few_batches()).error
        weights: dict[int, Array] = {}

        def weight_of(site: Site) -> Array:
            if site.number not in weights:
                weights[site.number] = site.weight.load(self._read(site.weight.chain.parameter.key))
            return weights[site.number]

        takes = {s.group.id: s.takes for s in self._streams}
        curves = []
        for group in self._groups:
            along = takes.get(group.id)
            own = set((group.atoms if along is None else np.flatnonzero(along)).tolist())
            mine = [s for s in sites if own & set(s.atoms().tolist())]
            curves.append(group_curve(group, mine, dense, weight_of, measure=measure, takes=along))
        return with_company(curves, sites, dense, weight_of, takes=takes) if probe else curves

    def _scores(self, group: Group, greedy: Scores) -> Scores:
        """Return the scores of a group by the criterion, which may look at those of its moments."""
        self._greedy[group.id] = greedy
        criterion = self._criterion
        if criterion.name == "obs" and not greedy.any():  # samples say nothing about it
            criterion = find_criterion(_WITHOUT_EVIDENCE, samples=True)
        return np.asarray(criterion(self._context, group), np.float64)

    def _candidate(self, group: Group, scores: Scores) -> Candidate:
        return make_candidate_of(self._analysis, self._settings, group, scores)

    def _few_batches(self) -> list[dict[str, Array]]:
        """Return held-back samples that are enough to measure an effect on the outputs with."""
        held = [b for b, f in zip(self._batches, self._folds, strict=True) if f == 0]
        return held[: max(1, _PROBE_SAMPLES // max(1, _size(held[0])))]

    def _label_gates(self) -> LabelGates:
        if self._gates is None:
            self._gates = LabelGates(self._program, self._deps, self._few_batches())
        return self._gates

    def _walk(
        self,
        candidates: Sequence[Candidate],
        wanted: Mapping[str, int],
        dense: dict[int, list[Moments]],
        progress: Progress | None,
    ) -> tuple[Outcome, TwinStream]:
        """Choose and repair in order; return what came out, and the network on the samples."""
        fixed = {c.group.id: c for c in candidates}

        def choose(group: Group, scores: NDArray[np.float64]) -> NDArray[np.int64]:
            candidate = fixed[group.id]
            if self._criterion.name == "obs" and scores.any():
                candidate = self._candidate(group, self._scores(group, scores))
            return candidate.atoms(min(candidate.limit, wanted[group.id]))

        def most(group: Group) -> int:
            return len(fixed[group.id].atoms(wanted[group.id])) + 1

        repair = RepairSettings(RECOVERIES.find(self._recovery).methods, self._folds)
        streams = [s for s in self._streams if s.group.id in fixed]
        shared = {s.group.id for s in streams}
        stream = self._stream()
        walk = InOrder(
            self._deps, stream, self._read,
            [c.group for c in candidates if c.group.id not in shared],
            choose, dense=dense, settings=repair, most=most,
            removed=[r.branch for r in self._removed], streams=streams,
        )  # fmt: skip
        return walk.run(progress), stream

    def _together(self, outcome: Outcome, stream: TwinStream, progress: Progress | None) -> bool:
        """Refit all operators together, where that goes with the recovery and is cheap enough."""
        rounds = self._effort.rounds(sum(_size(b) for b in self._batches))
        if self._recovery != JOINTLY or not rounds:
            return False
        improve(
            self._deps, stream, self._found.sites, outcome, self._read,
            samples=list(zip(self._folds, self._batches, strict=True)), rounds=rounds,
            progress=progress,
        )  # fmt: skip
        return True

    def _result(
        self, candidates: Sequence[Candidate], outcome: Outcome, allocation: str
    ) -> Calibrated:
        analysis, settings = self._analysis, self._settings
        removed = analysis.deps.removed_labels(np.unique(analysis.deps.roots[outcome.removed]))
        before, after = analysis.cost(), analysis.cost(removed, dead=self._dead)
        groups = []
        for candidate in candidates:
            if candidate.group.follows:  # the plan names what consumers lose
                continue
            atoms = candidate.group.atoms[outcome.removed[candidate.group.atoms]]
            if len(atoms):
                score = describe_score(settings, self._context, candidate.group)
                groups.append(plan_group(analysis, candidate.group, atoms, score))
        plan = PrunePlan(
            model_sha256=analysis.model.sha256,
            plugins=analysis.plugins,
            coupling=analysis.coupling,
            forks=None if analysis.coupling == "constrained" else list(analysis.forks),
            groups=groups,
            branches=[r.entry() for r in self._removed],
            settings={
                **describe_settings(settings, allocation),
                "recovery": self._recovery, "samples": sum(_size(b) for b in self._batches),
            },
            predicted={
                "macs": round(after.macs / max(before.macs, 1), 6),
                "params": round(after.params / max(before.params, 1), 6),
            },
        )  # fmt: skip
        if self._recovery == NONE:
            return Calibrated(plan, seconds=self._seconds)
        return Calibrated(
            plan, outcome.weights, outcome.biases, tuple(outcome.repairs), self._seconds
        )


def _size(batch: Mapping[str, Array]) -> int:
    first = next(iter(batch.values()))
    return len(first) if first.ndim else 1
