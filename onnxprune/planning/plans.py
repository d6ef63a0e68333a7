"""Plans that can be carried out: read from files, checked against a model, or made to fit it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxprune import plugins
from onnxprune.allocation.solve import COARSE
from onnxprune.core.apart import repeated
from onnxprune.core.plan import PlanGroup, PrunePlan
from onnxprune.errors import (
    NothingToPruneError,
    PlanMismatchError,
    printable,
)
from onnxprune.io.documents import read_document
from onnxprune.io.fill import fill_model
from onnxprune.io.wire import pieces_size
from onnxprune.planning.layouts import describe_layout, make_layout, read_layout
from onnxprune.planning.selection import make_plan, plan_group
from onnxprune.rewrite import Rewritten, bypass, rewrite
from onnxprune.version import __version__

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    import onnx
    from numpy.typing import NDArray

    from onnxprune.analysis import Analysis
    from onnxprune.core.branches import Branch
    from onnxprune.core.layout import Layout
    from onnxprune.costs import LayerCosts
    from onnxprune.planning.selection import Settings

_MOST_DROPPED = 16


@dataclass(frozen=True, slots=True)
class Draft:
    """A plan together with the model that it makes, not written yet.

    Attributes:
        plan: the plan.
        removed: one flag per label of the analysis: what no consumer reads any more.
        cut: the same for what is not in the file; less than `removed` where a consumer keeps
            ignoring a channel because a copy without it would cost more.
        rewritten: the pruned model, stamped with its provenance.
        dropped: groups that could not follow a cut and stay, with the reason.
        branches: residual branches that leave.
        costs: what layers and copies cost where that was measured.
    """

    plan: PrunePlan
    removed: NDArray[np.bool_]
    cut: NDArray[np.bool_]
    rewritten: Rewritten
    dropped: Mapping[str, str]
    branches: tuple[Branch, ...] = ()
    costs: LayerCosts | None = None


def read_plan(path: Path) -> PrunePlan:
    """Read a plan file.

    Raises:
        PlanMismatchError: it is missing, or no plan of a version that is known here.
    """
    return read_document(
        path, PrunePlan.model_validate_json, what="no plan", hint="make one with `onnxprune plan`",
        error=PlanMismatchError,
    )  # fmt: skip


def check_plan(analysis: Analysis, plan: PrunePlan) -> NDArray[np.bool_]:
    """Return one flag per label for what a plan removes, once it is sure to be for this model.

    Raises:
        PlanMismatchError: it was made for another model, or its parts contradict each other.
    """
    model = analysis.model
    if plan.model_sha256 != model.sha256:
        message = (
            f"the plan was made for a model with SHA-256 {printable(plan.model_sha256)[:64]}, "
            f"'{printable(model.path)}' has {model.sha256}"
        )
        raise PlanMismatchError(message, hint="make a plan for this model with `onnxprune plan`")
    _check_plugins(analysis, plan)
    free = plan.coupling == "unconstrained"
    laid_out = (plan.forks, plan.layout) if free else ()
    foreign = () if free else (plan.forks, plan.layout, plan.joined, plan.apart)
    if (
        free != (analysis.coupling == "unconstrained")
        or any(part is None for part in laid_out)
        or any(part is not None for part in foreign)
    ):
        message = f"the plan has coupling '{plan.coupling}', which does not go with what it lists"
        raise PlanMismatchError(message, hint="the plan was edited; make a new one")
    removed = analysis.removed_labels(plan)
    analysis.removed_branches(plan)
    groups = {g.id: g for g in analysis.deps.groups}
    for entry in plan.groups:
        group = groups[entry.id]
        atoms = group.atoms[np.array(entry.removed, np.int64)]
        if not _same_slices(plan_group(analysis, group, atoms, {}), entry):
            message = (
                f"in group '{printable(entry.id)}', `slices` are not what `removed` stands for"
            )
            raise PlanMismatchError(
                message, hint="the plan was edited, or made by another version; make a new one"
            )
    return removed


def _check_plugins(analysis: Analysis, plan: PrunePlan) -> None:
    """Refuse a plan whose plug-ins are missing; other versions of them are worth a warning."""
    here = analysis.plugins
    for name, version in plan.plugins.items():
        if name not in here:
            shown = f"{printable(name)} {printable(version)}"
            reason = plugins.why_missing(name) or "none of its rules is used here"
            message = f"the plan was made with rules of the plug-in {shown}: {reason}"
            hint = f"pip install '{printable(name)}=={printable(version)}', or make a new plan"
            raise PlanMismatchError(message, hint=hint)
        if here[name] != version:
            text = f"the plan was made with {printable(name)} {printable(version)}, here is "
            warnings.warn(text + here[name], plugins.PluginWarning, 2)


def _same_slices(first: PlanGroup, second: PlanGroup) -> bool:
    lines = [sorted(s.model_dump_json() for s in g.slices) for g in (first, second)]
    return lines[0] == lines[1]


def transfer_plan(analysis: Analysis, plan: PrunePlan) -> PrunePlan:
    """Return a plan for a model of the same architecture with other weights.

    Args:
        analysis: the model, trained further, say.
        plan: the plan, made for another.

    Raises:
        PlanMismatchError: the architecture is another, or the plan repairs weights, which are not
            these.
    """
    if plan.model_sha256 == analysis.model.sha256:
        return plan
    if plan.repair is not None:
        message = "the plan repairs weights of the model that it was made for, and this is another"
        hint = "make a new plan with samples, or one with --recovery none that serves both"
        raise PlanMismatchError(message, hint=hint)
    moved = plan.model_copy(update={"model_sha256": analysis.model.sha256})
    try:
        check_plan(analysis, moved)
    except PlanMismatchError as error:
        message = f"the plan does not fit '{printable(analysis.model.path)}': {error.message}"
        hint = "its architecture is not the one that the plan was made for: make a new plan"
        raise PlanMismatchError(message, hint=hint) from None
    return moved


def draft_of(analysis: Analysis, plan: PrunePlan, *, original: Analysis | None = None) -> Draft:
    """Carry out a plan in memory.

    Args:
        analysis: the model to cut.
        plan: the plan.
        original: the model before its weights were repaired, which the plan speaks of.

    Raises:
        PlanMismatchError: it is for another model, or cannot be carried out.
    """
    check_plan(original or analysis, plan)
    removed = analysis.removed_labels(plan)
    layout = read_layout(analysis.deps, removed, plan)
    branches = analysis.removed_branches(plan)
    rewritten = bypass(_rewrite(analysis, layout), branches)
    stamp(rewritten.proto, analysis, plan)
    return Draft(plan, removed, layout.cut, rewritten, {}, branches)


def make_draft(analysis: Analysis, settings: Settings) -> Draft:
    """Make a plan that can be carried out, and carry it out in memory.

    A group in which some node cannot follow the cut is left out, and the plan made anew.

    Args:
        analysis: the model.
        settings: how to choose.

    Raises:
        NothingToPruneError: nothing can leave.
        TargetError: the target is out of reach.
        PlanMismatchError: too many groups cannot follow.
    """
    dropped: dict[str, str] = {}
    draft = _without_what_cannot_follow(analysis, settings, dropped)
    changes = {"dropped": dict(dropped)} if dropped else {}
    return described(analysis, draft, changes)


def described(analysis: Analysis, draft: Draft, changes: Mapping[str, Any]) -> Draft:
    """Return a draft whose plan, and model, say other things of how they were made.

    Args:
        analysis: the model that is cut.
        draft: the draft.
        changes: settings by name.
    """
    settings = {**draft.plan.settings, **changes}
    plan = draft.plan.model_copy(update={"settings": settings})
    stamp(draft.rewritten.proto, analysis, plan)
    return replace(draft, plan=plan)


def stamp(proto: onnx.ModelProto, analysis: Analysis, plan: PrunePlan) -> None:
    """Write into a model what made it: no time, so that the same plan gives the same bytes."""
    values = {
        "onnxprune.version": __version__,
        "onnxprune.plan_sha256": plan.digest,
        "onnxprune.source_sha256": analysis.model.sha256,
    }
    kept = [entry for entry in proto.metadata_props if entry.key not in values]
    del proto.metadata_props[:]
    proto.metadata_props.extend(kept)
    for key, value in values.items():
        proto.metadata_props.add(key=key, value=value)


def _rewrite(analysis: Analysis, layout: Layout | NDArray[np.bool_]) -> Rewritten:
    source = analysis.model.proto
    return rewrite(
        analysis.proto, analysis.model.array, analysis.deps, layout, copies=analysis.copies,
        original=source if source.functions else None,
    )  # fmt: skip


def with_layout(
    analysis: Analysis, plan: PrunePlan, settings: Settings
) -> tuple[PrunePlan, Layout]:
    """Lay out what a plan leaves, and write that into the plan.

    Args:
        analysis: the model.
        plan: the plan.
        settings: most copies that may be added, and what they cost.
    """
    metric, before = settings.target.metric, analysis.cost()

    def left(layout: Layout) -> dict[str, float]:
        after, more = analysis.cost(layout.cut), repeated(analysis.deps, layout.cut, layout.apart)
        return {
            "macs": (after.macs + more.macs) / max(before.macs, 1),
            "params": (after.params + more.params) / max(before.params, 1),
        }

    def enough(layout: Layout) -> bool:
        if metric == "bytes":
            return estimated_size(analysis, layout.cut, layout.apart) <= settings.target.goal
        return (
            metric not in ("macs", "params")
            or left(layout)[metric] <= settings.target.goal + COARSE
        )

    layout = make_layout(
        analysis.deps, analysis.removed_labels(plan), max_copies=settings.max_copies,
        costs=settings.layer_costs, enough=enough,
    )  # fmt: skip
    if analysis.coupling == "constrained":
        return plan, layout
    predicted = {name: round(share, 6) for name, share in left(layout).items()}
    changes: dict[str, Any] = {"layout": describe_layout(layout), "predicted": predicted}
    if layout.joined:
        changes["joined"] = sorted(layout.joined)
    if layout.apart:
        changes["apart"] = sorted(layout.apart)
    return plan.model_copy(update=changes), layout


def estimated_size(analysis: Analysis, cut: NDArray[np.bool_], apart: Collection[str]) -> int:
    """Return the bytes of a file by those of its weights.

    Args:
        analysis: the model.
        cut: flag per label: what is not in the file.
        apart: outputs of operators that are written once for every consumer.
    """
    saved = analysis.cost().bytes - analysis.cost(cut).bytes
    return analysis.model.size_bytes - saved + repeated(analysis.deps, cut, apart).bytes


def file_size(analysis: Analysis, draft: Draft, data_name: str) -> int:
    """Return the bytes of a draft's files.

    Args:
        analysis: the model that is cut.
        draft: the draft.
        data_name: name of the data file, if there is one.
    """
    rewritten, model = draft.rewritten, analysis.model
    filled = fill_model(
        rewritten.proto, model, rewritten.arrays, data_name=data_name, external=None
    )
    return pieces_size(filled.model) + pieces_size(filled.data)


def _without_what_cannot_follow(
    analysis: Analysis, settings: Settings, dropped: dict[str, str]
) -> Draft:
    """Make a plan and its model; groups that fail are added to `dropped`."""
    while True:
        try:
            plan = make_plan(analysis, settings, without=dropped)
        except NothingToPruneError as error:
            if not dropped:
                raise
            why = "; ".join(f"{group}: {reason}" for group, reason in [*dropped.items()][:5])
            message = f"nothing can be removed: no group can follow a cut ({why})"
            raise NothingToPruneError(message) from error
        removed = analysis.removed_labels(plan)
        plan, layout = with_layout(analysis, plan, settings)
        try:
            return Draft(plan, removed, layout.cut, _rewrite(analysis, layout), dict(dropped))
        except PlanMismatchError as error:
            if len(dropped) >= _MOST_DROPPED:
                raise
            group, reason = find_culprit(analysis, plan, error)
            dropped[group] = reason


def find_culprit(analysis: Analysis, plan: PrunePlan, error: PlanMismatchError) -> tuple[str, str]:
    """Find the first group with which a plan fails, by halving, and how it fails.

    Args:
        analysis: the model.
        plan: the plan.
        error: how the whole plan failed.

    Returns:
        The group's id and the reason.
    """
    failing, reason = len(plan.groups), error.message
    passing = 0
    while failing - passing > 1:
        middle = (passing + failing) // 2
        part = plan.model_copy(update={"groups": plan.groups[:middle]})
        try:
            _rewrite(analysis, analysis.removed_labels(part))
        except PlanMismatchError as found:
            failing, reason = middle, found.message
        else:
            passing = middle
    return plan.groups[failing - 1].id, reason
