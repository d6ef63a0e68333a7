"""What ways to write a plan would take by prediction, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxprune.core.order import upscale_order
from onnxprune.costs import DefaultCosts
from onnxprune.planning.latency import LatencyModel
from onnxprune.planning.layouts import make_layout, read_layout
from onnxprune.planning.segments import constrained_us

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from onnxprune.analysis import Analysis
    from onnxprune.core.layout import Layout
    from onnxprune.core.plan import PrunePlan
    from onnxprune.costs import LayerCosts

    Flags = NDArray[np.bool_]

__all__ = ["before_and_after", "predict", "predicted_us", "upscale_layout"]


def upscale_layout(analysis: Analysis, removed: Flags) -> Layout:
    """Return a layout with a copy at every place, and channels as the path heuristic orders them.

    Source: UPSCALE (arXiv 2307.08771), the reordering of a segment's channels.
    """
    return make_layout(
        analysis.deps, removed, pad=False, arrange=lambda n, sets, _: upscale_order(n, sets)
    )


def predict(
    analysis: Analysis, plan: PrunePlan, *, costs: LayerCosts | None = None
) -> dict[str, float]:
    """Return what the network takes in microseconds, written in several ways.

    `original`: before; `constrained`: where consumers lose channels together, as many parameters
    stay, and numbers of channels are multiples of the plan's step; `naive`: with a Gather at every
    place that drops channels; `upscale`: in the order of the path heuristic; `written`: as the
    plan says.

    Args:
        analysis: the unconstrained analysis.
        plan: a plan that is known to fit it.
        costs: what layers and copies cost, by default about that of the CPU provider.
    """
    costs = costs or DefaultCosts()
    model = LatencyModel(analysis.deps, costs)
    removed = analysis.removed_labels(plan)
    kept = analysis.cost(removed).params / max(analysis.cost().params, 1)
    step = int(plan.settings.get("align", 1))
    times = {
        "original": model.total(np.zeros_like(removed)),
        "constrained": constrained_us(analysis, 1 - kept, costs, step=step),
        "naive": model.total(removed),
        "upscale": model.of(upscale_layout(analysis, removed)),
        "written": model.of(_layout(analysis, plan)),
    }
    return {name: round(time, 1) for name, time in times.items()}


def before_and_after(
    analysis: Analysis, plan: PrunePlan, costs: LayerCosts | None = None
) -> dict[str, float]:
    """Return what the network takes in microseconds, `original` and as `written`, {} if unknown.

    Nobody knows how often a body runs, and the time of a residual branch that leaves as a whole is
    not taken off.

    Args:
        analysis: the analysis that the plan belongs to.
        plan: a plan that is known to fit it.
        costs: what layers and copies cost, by default about that of the CPU provider.
    """
    if plan.branches or any(node.scope for node in analysis.deps.graph.all_nodes()):
        return {}
    model = LatencyModel(analysis.deps, costs or DefaultCosts())
    whole = model.total(np.zeros(len(analysis.deps.roots), bool))
    if not whole:
        return {}
    written = model.of(_layout(analysis, plan))
    return {"original": round(whole, 1), "written": round(written, 1)}


def predicted_us(analysis: Analysis, plan: PrunePlan, costs: LayerCosts | None = None) -> float:
    """Return what the network of a plan takes by prediction, in microseconds.

    Args:
        analysis: the analysis that the plan belongs to.
        plan: a plan that is known to fit it.
        costs: what layers and copies cost, by default about that of the CPU provider.
    """
    return LatencyModel(analysis.deps, costs or DefaultCosts()).of(_layout(analysis, plan))


def _layout(analysis: Analysis, plan: PrunePlan) -> Layout:
    return read_layout(analysis.deps, analysis.removed_labels(plan), plan)
