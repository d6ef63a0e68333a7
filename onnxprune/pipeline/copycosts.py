"""Which costs lay out an unconstrained plan: those measured for the model, where there are any."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from onnxprune.costs.cache import cache_directory
from onnxprune.costs.collect import look_up
from onnxprune.planning.latency import demanded
from onnxprune.providers.spec import parse_spec

if TYPE_CHECKING:
    from onnxprune.analysis import Analysis
    from onnxprune.costs.table import CostTable
    from onnxprune.planning.options import PlanOptions
    from onnxprune.planning.selection import Settings

__all__ = ["with_costs"]


def with_costs(free: Analysis, settings: Settings, options: PlanOptions) -> Settings:
    """Return settings with what was measured on the provider, if that is all of a model's layers.

    Estimates and measurements do not mix: one that is missing leaves it to the estimates.

    Args:
        free: an analysis; a constrained one copies nothing, and needs no costs.
        settings: how to choose.
        options: the provider and threads to be fast with.
    """
    if free.coupling == "constrained":
        return settings
    spec, threads = parse_spec(options.get("provider") or "cpu"), options.get("threads", 1)
    if not any((cache_directory() / "costs").glob("*.json")):
        return settings
    table = _known(spec.text, threads)
    if table is None or not table.knows(demanded(free.deps, table)):
        return settings
    return replace(settings, layer_costs=table, costs_source=f"measured on {spec.text}")


@lru_cache(maxsize=4)
def _known(provider: str, threads: int) -> CostTable | None:
    found = look_up(parse_spec(provider), threads)
    return None if found is None else found.table
