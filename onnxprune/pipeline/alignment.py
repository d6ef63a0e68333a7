"""Whether numbers of channels go in a provider's steps, and in which."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from onnxprune.costs.align import choose_alignment
from onnxprune.costs.collect import look_up
from onnxprune.costs.network import layers_of
from onnxprune.planning.steps import find_steps
from onnxprune.providers.spec import parse_spec

if TYPE_CHECKING:
    from onnxprune.analysis import Analysis
    from onnxprune.costs.align import Alignment
    from onnxprune.planning.options import PlanOptions
    from onnxprune.planning.selection import Settings

__all__ = ["find_alignment", "with_alignment"]


def find_alignment(
    analysis: Analysis, settings: Settings, options: PlanOptions
) -> Alignment | None:
    """Return the provider's steps, None where another step was asked for.

    A ratio says how much of every group leaves, and is taken at its word unless steps are wanted.

    Args:
        analysis: the model.
        settings: how to choose.
        options: the provider and threads to be fast with, and the step as it was given.
    """
    align = options.get("align")
    if align != "auto" and (align is not None or settings.target.metric == "ratio"):
        return None
    spec, threads = parse_spec(options.get("provider") or "cpu"), options.get("threads", 1)
    # What was measured on this machine changes plans only where that was asked for.
    known = look_up(spec, threads) if align == "auto" else None
    layers = layers_of(analysis.deps.graph, analysis.deps.settings[0])
    return choose_alignment(layers, known.table if known else None, spec)


def with_alignment(analysis: Analysis, settings: Settings, found: Alignment) -> Settings:
    """Return settings with a provider's steps.

    Args:
        analysis: the model.
        settings: how to choose.
        found: the steps.
    """
    if found.step == 1:
        return settings
    return replace(
        settings, limits=replace(settings.limits, align=found.step), align_source=found.source,
        steps=find_steps(analysis.deps, found.steps),
    )  # fmt: skip
