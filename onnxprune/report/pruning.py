"""The report of a pruned model."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

from onnxprune.allocation.solve import COARSE
from onnxprune.core.apart import repeated
from onnxprune.core.branches import dead_nodes
from onnxprune.core.steps import Limits
from onnxprune.costs.align import choose_alignment
from onnxprune.costs.network import layers_of
from onnxprune.fidelity import Judgement
from onnxprune.planning.edges import find_edges
from onnxprune.planning.predictions import before_and_after, predict
from onnxprune.planning.steps import find_steps, limits_of
from onnxprune.providers.spec import parse_spec
from onnxprune.report.analysis import count_nodes, count_params
from onnxprune.report.frozen import frozen_entries
from onnxprune.report.layers import layer_entries
from onnxprune.report.models import (
    Achieved,
    CopiesMade,
    LatencyEntry,
    ModelFacts,
    PruneReport,
    Verified,
)
from onnxprune.rewrite.prepare import expand
from onnxprune.rewrite.selects import element_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onnxprune.analysis import Analysis
    from onnxprune.core.plan import PrunePlan
    from onnxprune.io import Written
    from onnxprune.planning.plans import Draft
    from onnxprune.verification import Verification

_SLOW = 0.9
"""Share of the original's predicted time from which a pruned network is hardly faster."""

_FLAGS = {
    "ratio": "ratio",
    "params": "remove_params",
    "macs": "remove_macs",
    "bytes": "max_bytes",
    "latency": "max_latency_ratio",
}


def report_pruning(  # noqa: PLR0913  # everything that a report holds
    analysis: Analysis,
    draft: Draft,
    written: Written,
    *,
    verification: Verification | None,
    requested: Mapping[str, float | int | str] | None,
    seconds: Mapping[str, float],
    judgement: Judgement | None = None,
    notes: Sequence[str] = (),
    latency: LatencyEntry | None = None,
) -> PruneReport:
    """Describe what was done to a model.

    Args:
        analysis: the original.
        draft: the plan and the model it made.
        written: the file written.
        verification: what verification found, if it ran.
        requested: the target as given; by default it is taken from the plan.
        seconds: time by stage.
        judgement: how near the outputs stay to the original's, if that was measured.
        notes: what else the user should know.
        latency: how a target on latency was met.
    """
    judged = judgement or Judgement()
    plan = draft.plan
    dead = dead_nodes(analysis.deps, draft.branches)
    before, after = analysis.cost(), analysis.cost(draft.cut, dead=dead)
    apart = plan.apart or ()
    macs = after.macs + repeated(analysis.deps, draft.cut, apart).macs
    model, pruned = analysis.model, expand(draft.rewritten.proto).graph
    source = ModelFacts(
        path=str(model.path), sha256=model.sha256, bytes=model.size_bytes,
        params=before.params, macs=before.macs,
        nodes=count_nodes(analysis.proto.graph),
    )  # fmt: skip
    target = ModelFacts(
        path=str(written.path), sha256=written.sha256, bytes=written.size_bytes,
        params=count_params(pruned), macs=macs, nodes=count_nodes(pruned),
    )  # fmt: skip
    achieved = Achieved(
        params=_removed(source.params, target.params),
        macs=_removed(source.macs, target.macs),
        bytes=_removed(source.bytes, target.bytes),
    )
    predicted_us = before_and_after(analysis, plan, draft.costs)
    return PruneReport(
        input=source,
        output=target,
        plan_sha256=plan.digest,
        requested=dict(requested or _requested(plan)),
        settings=plan.settings,
        achieved=achieved,
        groups_pruned=len(plan.groups),
        groups_kept=sum(not g.follows for g in analysis.deps.groups) - len(plan.groups),
        branches_removed=[b.node.name for b in draft.branches],
        groups_frozen=sum(1 for e in frozen_entries(analysis) if e.params or e.macs),
        approximate=any(not g.exact for g in plan.groups),
        dropped=dict(draft.dropped),
        verified=None if verification is None else verified(verification),
        copies=None if analysis.coupling == "constrained" else copies_made(analysis, draft),
        predicted_us=predicted_us,
        layers=layer_entries(analysis, draft.cut, dead, apart),
        fidelity=judged.fidelity,
        metric=judged.metric,
        search=judged.search,
        notes=[
            *notes,
            *_notes(analysis, plan, achieved, draft.dropped),
            *_alignment(analysis, plan, predicted_us),
        ],
        latency=latency,
        seconds=dict(seconds),
        peak_rss_bytes=peak_rss_bytes(),
    )


def copies_made(analysis: Analysis, draft: Draft) -> CopiesMade:
    """Compare the copies in a network with one copy for every place that drops channels."""
    wanted = [e for e in find_edges(analysis.deps) if e.missing(draft.removed).any()]
    width = element_bytes(analysis.deps)
    naive = sum(int((~draft.removed[e.below]).sum()) * e.positions * width(e.value) for e in wanted)
    copies = draft.rewritten.copies
    made = sum(copy.bytes for copy in copies)
    return CopiesMade(
        slices=sum(copy.op == "Slice" for copy in copies),
        gathers=sum(copy.op == "Gather" for copy in copies),
        bytes=made,
        avoided=len(wanted) - len(copies),
        bytes_avoided=naive - made,
        predicted_us=predict(analysis, draft.plan, costs=draft.costs),
    )


def verified(verification: Verification) -> Verified:
    """Return what a report keeps of a verification."""
    return Verified(
        exact=verification.exact,
        max_abs=finite(verification.max_abs),
        max_rel=finite(verification.max_rel),
        feeds=verification.feeds,
    )


def finite(number: float) -> float | None:
    """Return a number, or None where JSON has no way to write it."""
    return number if math.isfinite(number) else None


def peak_rss_bytes() -> int | None:
    """Return the largest memory of this process so far, None where the system does not tell."""
    if sys.platform == "win32":
        return None
    import resource  # noqa: PLC0415  # there is none on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _removed(before: int, after: int) -> float:
    return round(1 - after / before, 6) if before else 0.0


def _requested(plan: PrunePlan) -> dict[str, float | int | str]:
    metric = plan.settings.get("target")
    amount = plan.settings.get("amount")
    if metric == "macs" and amount == 0:  # branches alone
        return {"depth": plan.settings.get("depth", 0)}
    return {_FLAGS[metric]: amount} if metric in _FLAGS and amount is not None else {}


def _listed(names: Sequence[str], most: int = 5) -> str:
    """Return the first of some names, and how many there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _alignment(analysis: Analysis, plan: PrunePlan, times: Mapping[str, float]) -> list[str]:
    """Say in which steps channels were kept, or that steps would make the network faster."""
    source, step = plan.settings.get("align_source"), plan.settings.get("align", 1)
    if source:
        return [f"channels are kept in steps of up to {step}: {source}"]
    if step > 1 or not times or times["written"] < _SLOW * times["original"]:
        return []
    deps = analysis.deps
    found = choose_alignment(layers_of(deps.graph, deps.settings[0]), None, parse_spec("cpu"))
    steps, lost = find_steps(deps, found.steps), {g.id: g.removed for g in plan.groups}
    if not any(
        (group.size - len(lost[group.id])) % limits_of(deps, Limits(), steps, group).align
        for group in deps.groups
        if group.id in lost
    ):
        return []
    share = times["written"] / times["original"]
    note = (
        f"predicted to take {share:.2f} of the original's time on the CPU provider, whose "
        f"convolutions want multiples of {found.step} channels, at least of 4: --align auto keeps "
        "to them"
    )
    return [note]


def _notes(
    analysis: Analysis, plan: PrunePlan, achieved: Achieved, dropped: Mapping[str, str]
) -> list[str]:
    notes = [
        f"group {group} was left out, because a node cannot follow: {reason}"
        for group, reason in dropped.items()
    ]
    fallbacks: dict[str, list[str]] = {}
    for group in plan.groups:
        if "note" in group.score:
            fallbacks.setdefault(str(group.score["note"]), []).append(group.id)
    notes += [f"scores of {_listed(ids)}: {note}" for note, ids in fallbacks.items()]
    notes += _missed(analysis, plan, achieved)
    if any(not g.exact for g in plan.groups):
        notes.append("approximate groups were pruned: outputs differ from the masked original")
    return notes


def _missed(analysis: Analysis, plan: PrunePlan, achieved: Achieved) -> list[str]:
    """Say by how much and why a target was missed."""
    notes: list[str] = []
    metric, amount = plan.settings.get("target"), float(plan.settings.get("amount", 0))
    if metric in ("params", "macs") and amount:
        done: float = getattr(achieved, metric)
        if done > amount + COARSE:
            notes.append(
                f"the groups are too coarse for this target: {done:.1%} of the {metric} "
                f"are gone, {amount:.1%} were asked for"
            )
        elif plan.coupling == "unconstrained" and done < amount - COARSE:
            notes.append(
                f"{done:.1%} of the {metric} are gone, {amount:.1%} were asked for: consumers keep "
                "reading channels that they ignore where a copy would take longer"
            )
    elif metric == "bytes":
        size = analysis.model.size_bytes
        left = round((1 - achieved.bytes) * size)
        if amount - left > COARSE * size:
            notes.append(
                f"the groups are too coarse for this target: {left} bytes remain, {amount:.0f} "
                "were allowed"
            )
    elif metric == "ratio":
        share = sum(len(g.removed) for g in plan.groups) / max(1, sum(g.size for g in plan.groups))
        if abs(share - amount) > COARSE:
            notes.append(
                f"{share:.1%} of the groups' channels are gone, {amount:.1%} were asked for: "
                "groups are too small for it, or limits hold them"
            )
    return notes
