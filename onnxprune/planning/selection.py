"""Make a plan: score, allocate, and choose what leaves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from onnxprune.allocation import AllocationContext, Target, find_allocation, solve
from onnxprune.core.plan import PlanGroup, PlanSlice, PrunePlan
from onnxprune.core.steps import Candidate, Limits, make_candidate
from onnxprune.criteria import ScoreContext, find_criterion
from onnxprune.errors import InvalidModelError, NothingToPruneError, printable
from onnxprune.planning.patterns import select
from onnxprune.planning.steps import limits_of
from onnxprune.planning.variants import best_variant

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from onnxprune.analysis import Analysis
    from onnxprune.core.groups import Group, ParameterSlice
    from onnxprune.costs import LayerCosts
    from onnxprune.costs.network import NetworkCosts
    from onnxprune.planning.steps import Steps

DEFAULT_ALLOCATION = "uniform"
"""Allocation without samples: magnitudes do not tell which group can spare more than another."""

_CLEARLY = 1e-4
"""Share of the parameters that makes a difference."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to choose what leaves.

    Attributes:
        target: what to reach.
        criterion: name of the criterion.
        allocation: name of the allocation, "" for the default.
        limits: floors and alignment.
        allow_approximate: whether groups that change a normalisation take part.
        exclude: patterns of groups, parameters or nodes that stay.
        only: patterns of those that may leave, empty for all.
        seed: seed of everything random.
        coupling: whether consumers of one value lose the same channels.
        max_copies: most copies of channels that may be added, None for as many as pay.
        costs: what the network takes on a provider, for a target on latency.
        steps: the provider's steps, None where the step of `limits` is for all.
        align_source: where the alignment is known from, "" when it was given.
        layer_costs: what layers and copies take, to lay out unconstrained plans; None to estimate.
        costs_source: where that is known from.
        depth: how many residual branches leave as wholes, "auto" where they compete with channels.
    """

    target: Target
    criterion: str = "l2"
    allocation: str = ""
    limits: Limits = field(default_factory=Limits)
    allow_approximate: bool = False
    exclude: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    seed: int = 0
    coupling: str = "constrained"
    max_copies: int | None = None
    costs: NetworkCosts | None = None
    steps: Steps | None = None
    align_source: str = ""
    layer_costs: LayerCosts | None = None
    costs_source: str = ""
    depth: int | Literal["auto"] = 0


def make_plan(
    analysis: Analysis, settings: Settings, *, without: Collection[str] = ()
) -> PrunePlan:
    """Choose what leaves of an analysed model.

    Args:
        analysis: the model.
        settings: how to choose.
        without: ids of groups that stay whatever the settings say.

    Raises:
        InvalidConfigError: an unknown criterion or allocation, or a pattern that matches nothing.
        NothingToPruneError: nothing can leave, or the target asks for nothing.
        TargetError: the target is out of reach.
        InvalidModelError: weights that cannot be scored (NaN or infinite).
    """
    analysis.model.begin_digest()
    context = score_context(analysis, settings)
    before = analysis.cost()
    name = settings.allocation or DEFAULT_ALLOCATION
    allocation = find_allocation(name, samples=False)
    scored = _scored(analysis, settings, context, without)

    def choose(variant: Settings) -> tuple[list[Candidate], list[int]]:
        candidates = _usable(analysis, variant, scored)

        def flags(counts: Sequence[int]) -> NDArray[np.bool_]:
            return leaving(analysis, candidates, counts)

        def remaining(counts: Sequence[int]) -> float:
            return what_remains(analysis, settings, flags(counts))

        priorities = allocation(AllocationContext(candidates, remaining, settings.target.goal))
        counts = solve(candidates, priorities, settings.target, remaining)
        counts = _keep_sites(analysis, candidates, counts, flags)
        if not any(counts):
            message = "nothing was removed: every group is at its floor for this target"
            raise NothingToPruneError(
                message, hint="raise the target, or lower --min-channels, --align"
            )
        return candidates, counts

    candidates, counts = best_variant(
        analysis, settings, [g for g, _ in scored], choose, lambda c: (leaving(analysis, *c), 0.0)
    )
    after = analysis.cost(leaving(analysis, candidates, counts))
    return PrunePlan(
        model_sha256=analysis.model.sha256,
        plugins=analysis.plugins,
        coupling=analysis.coupling,
        forks=None if analysis.coupling == "constrained" else list(analysis.forks),
        groups=[
            plan_group(analysis, c.group, c.atoms(n), describe_score(settings, context, c.group))
            for c, n in zip(candidates, counts, strict=True)
            if n
        ],
        settings=describe_settings(settings, name),
        predicted={
            "macs": round(after.macs / max(before.macs, 1), 6),
            "params": round(after.params / max(before.params, 1), 6),
        },
    )


def score_context(analysis: Analysis, settings: Settings) -> ScoreContext:
    """Return what criteria may look at, before there are samples."""
    return ScoreContext(
        analysis.deps,
        analysis.model.array,
        settings.seed,
        settings.criterion.partition(":")[2],
        lambda: analysis.model.sha256,
    )


def describe_score(settings: Settings, context: ScoreContext, group: Group) -> dict[str, str]:
    """Return what a plan says of how a group was scored."""
    note = context.notes.get(group.id)
    return {"criterion": settings.criterion, **({"note": note} if note else {})}


def what_remains(
    analysis: Analysis,
    settings: Settings,
    removed: NDArray[np.bool_],
    dead: Collection[int] = (),
) -> float:
    """Return what a cut leaves of what the target speaks of: a fraction of the model, or bytes.

    Args:
        analysis: the model.
        settings: the target, and what it is measured with.
        removed: one flag per label.
        dead: numbers of nodes that leave as wholes.
    """
    metric = settings.target.metric
    if metric == "latency":
        assert settings.costs is not None
        return settings.costs.ratio(analysis.deps, removed)
    before, now = analysis.cost(), analysis.cost(removed, dead=dead)
    if metric == "bytes":
        return analysis.model.size_bytes - (before.bytes - now.bytes)
    if metric == "macs":
        return now.macs / max(before.macs, 1)
    return now.params / max(before.params, 1)


def make_candidates(
    analysis: Analysis,
    settings: Settings,
    context: ScoreContext,
    *,
    without: Collection[str] = (),
) -> list[Candidate]:
    """Score every group that may take part and order its removal steps."""
    return _usable(analysis, settings, _scored(analysis, settings, context, without))


def make_candidate_of(
    analysis: Analysis, settings: Settings, group: Group, scores: NDArray[np.float64]
) -> Candidate:
    """Order the removal steps of a group with scores."""
    limits = limits_of(analysis.deps, settings.limits, settings.steps, group)
    return make_candidate(analysis.deps, group, scores, analysis.sites, limits)


def leaving(
    analysis: Analysis, candidates: Sequence[Candidate], counts: Sequence[int]
) -> NDArray[np.bool_]:
    """Return one flag per label: what leaves if candidates give so many steps each."""
    atoms = [c.atoms(n) for c, n in zip(candidates, counts, strict=True)]
    return analysis.deps.removed_labels(np.concatenate([np.zeros(0, np.int64), *atoms]))


def _scored(
    analysis: Analysis, settings: Settings, context: ScoreContext, without: Collection[str]
) -> list[tuple[Group, NDArray[np.float64]]]:
    criterion = find_criterion(settings.criterion, samples=False)
    found = []
    for group in choose_groups(analysis, settings, without=without):
        scores = np.asarray(criterion(context, group), np.float64)
        if not np.isfinite(scores).all():
            names = ", ".join(printable(s.parameter) for s in group.slices[:3])
            message = f"weights of group {group.id} ({names}) hold NaN or infinity"
            raise InvalidModelError(message, hint="check the export")
        found.append((group, scores))
    return found


def _usable(
    analysis: Analysis,
    settings: Settings,
    scored: Sequence[tuple[Group, NDArray[np.float64]]],
) -> list[Candidate]:
    candidates = [make_candidate_of(analysis, settings, group, scores) for group, scores in scored]
    usable = [c for c in candidates if c.limit]
    if not usable:
        raise NothingToPruneError(_why_nothing(analysis, candidates, settings))
    return usable


def choose_groups(
    analysis: Analysis, settings: Settings, *, without: Collection[str] = ()
) -> list[Group]:
    """Return the groups that may take part.

    Where whole rows (heads, convolution groups) and elements inside rows could leave, only one of
    the two does: rows, unless half of the elements saves more than half of the rows (it does inside
    grouped convolutions, whose weights shrink on both axes).
    """
    selected = select(analysis, exclude=settings.exclude, only=settings.only)
    chosen = [
        g
        for g in analysis.deps.groups
        if (g.exact or settings.allow_approximate)
        and not g.follows
        and g.id in selected
        and g.id not in without
    ]
    dropped: set[str] = set()
    known: dict[object, bool] = {}  # layers of a kind decide alike
    for rows in chosen:
        if rows.level == 0:
            continue
        places = {(s.parameter, a) for s in rows.slices if s.level for a in s.axes}
        inside = [
            g
            for g in chosen
            if g.level == 0 and any((s.parameter, a) in places for s in g.slices for a in s.axes)
        ]
        kind = tuple(_kind(analysis, g) for g in (rows, *inside))
        if kind not in known:
            known[kind] = bool(inside) and (rows.size == 1 or _saves_more(analysis, inside, rows))
        if known[kind]:
            dropped.add(rows.id)
        else:
            dropped.update(g.id for g in inside)
    return [g for g in chosen if g.id not in dropped]


def _kind(analysis: Analysis, group: Group) -> tuple[object, ...]:
    """Return what the cost of cutting a group depends on."""
    shapes = analysis.deps.ctx
    slices = tuple((shapes.shape(s.parameter), s.axes, s.level) for s in group.slices)
    return group.level, group.size, slices


def _saves_more(analysis: Analysis, elements: list[Group], rows: Group) -> bool:
    """Tell whether half of some elements is clearly more than half of the rows around them."""

    def half(groups: list[Group]) -> int:
        atoms = []
        for group in groups:
            flat = np.zeros(group.size)
            steps = make_candidate(analysis.deps, group, flat, analysis.sites, Limits())
            atoms.append(steps.atoms(min(steps.limit, steps.size // 2)))
        return analysis.cost(analysis.deps.removed_labels(np.concatenate(atoms))).params

    return half(elements) < half([rows]) - analysis.cost().params * _CLEARLY


def _why_nothing(analysis: Analysis, candidates: Sequence[Candidate], settings: Settings) -> str:
    if candidates:
        why = "; ".join(sorted({f"{c.group.id}: {c.reason}" for c in candidates})[:5])
        return f"nothing can be removed: {why}"
    groups = analysis.deps.groups
    able = any(g.exact or settings.allow_approximate for g in groups)
    if able and (settings.exclude or settings.only):
        return "nothing can be removed: every group that could lose something is excluded"
    inexact = [g for g in groups if not g.exact]
    if inexact:
        reason = inexact[0].reason
        return (
            f"nothing can be removed exactly: {len(inexact)} groups are approximate ({reason});"
            " --allow-approximate prunes them all the same"
        )
    reasons: dict[str, int] = {}
    for held in analysis.deps.frozen.values():
        text = f"{held.node or held.value}: {held.reason}".lstrip(": ")
        reasons[text] = reasons.get(text, 0) + 1
    top = sorted(reasons.items(), key=lambda item: -item[1])[:5]
    listed = "; ".join(f"{text} ({count} channels)" for text, count in top)
    return (
        f"nothing can be removed: {listed or 'the model has no weights that could lose channels'}"
    )


def _keep_sites(
    analysis: Analysis,
    candidates: list[Candidate],
    counts: list[int],
    flags: Any,  # noqa: ANN401
) -> list[int]:
    """Give back steps where several groups together would empty an axis."""
    counts = list(counts)
    while True:
        emptied = analysis.sites.emptied(flags(counts))
        if not emptied:
            return counts
        site, before = set(emptied[0].tolist()), list(counts)
        for number, candidate in enumerate(candidates):
            while counts[number] and site & set(candidate.atoms(counts[number]).tolist()):
                counts[number] -= 1
                if not site <= set(np.flatnonzero(flags(counts)).tolist()):
                    break
            else:
                continue
            break
        if counts == before:  # it leaves because all that read it dropped it: they give back
            counts = [max(0, count - 1) for count in counts]


def plan_group(
    analysis: Analysis, group: Group, atoms: NDArray[np.int64], score: dict[str, Any]
) -> PlanGroup:
    """Describe the removal of some atoms of a group."""
    number = {int(a): i for i, a in enumerate(group.atoms)}
    leaving = set(atoms.tolist())
    flags = np.zeros(len(analysis.deps.roots), bool)
    flags[atoms] = True
    return PlanGroup(
        id=group.id,
        size=group.size,
        removed=sorted(number[a] for a in leaving),
        exact=group.exact,
        score=score,
        slices=_plan_slices(analysis, group, flags),
    )


def _plan_slices(analysis: Analysis, group: Group, flags: NDArray[np.bool_]) -> list[PlanSlice]:
    """List every cut once: copies of a shared vector go by the name of their original."""
    found: dict[str, PlanSlice] = {}
    for part in group.slices:
        if part.parameter not in analysis.deps.ctx.parameters:
            continue  # a constant that a node makes
        name = analysis.copies.get(part.parameter, part.parameter)
        for entry in _plan_slice(part, flags, name):
            found.setdefault(entry.model_dump_json(), entry)
    return list(found.values())


def _plan_slice(part: ParameterSlice, flags: NDArray[np.bool_], name: str) -> list[PlanSlice]:
    removed = flags[part.roots]
    if not removed.any():
        return []
    if len(part.axes) == 1:
        indices = np.flatnonzero(removed).tolist()
        return [PlanSlice(initializer=name, axis=part.axes[0], removed=indices)]
    blocks: list[list[int]] = []
    previous = None
    for roots, row in zip(part.roots, removed, strict=True):
        if previous is None or not np.array_equal(roots, previous):
            blocks.append(np.flatnonzero(row).tolist())
        previous = roots
    rows, axis = part.axes
    return [PlanSlice(initializer=name, axis=axis, block_axis=rows, blocks=blocks)]


def describe_settings(settings: Settings, allocation: str) -> dict[str, Any]:
    """Return what a plan says of how it was made."""
    found: dict[str, Any] = {
        "target": settings.target.metric, "amount": settings.target.amount,
        "criterion": settings.criterion, "allocation": allocation, "seed": settings.seed,
    }  # fmt: skip
    if settings.limits != Limits():
        found["align"] = settings.limits.align
        found["min_channels"] = settings.limits.min_channels
        found["max_group_ratio"] = settings.limits.max_group_ratio
    if settings.align_source:
        found["align_source"] = settings.align_source
    if settings.costs_source:
        found["costs_source"] = settings.costs_source
    if settings.depth:
        found["depth"] = settings.depth
    if settings.allow_approximate:
        found["allow_approximate"] = True
    for name in ("exclude", "only"):
        if getattr(settings, name):
            found[name] = list(getattr(settings, name))
    return found
