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

__all__ = ["measured_costs", "with_costs"]


def with_costs(free: Analysis, settings: Settings, options: PlanOptions) -> Settings:
    """Return settings with what was measured on the provider, see `measured_costs`.

    Args:
        free: an analysis; a constrained one copies nothing, and needs no costs.
        settings: how to choose.
        options: the provider and threads to be fast with.
    """
    table, source = measured_costs(free, options)
    return settings if table is None else replace(settings, layer_costs=table, costs_source=source)


def measured_costs(free: Analysis, options: PlanOptions) -> tuple[CostTable | None, str]:
    """Return what was measured on the provider, if that is all of a model's layers and copies.

    Estimates and measurements do not mix: one that is missing leaves it to the estimates.

    Args:
        free: an analysis; a constrained one copies nothing, and needs no costs.
        options: the provider and threads to be fast with.

    Returns:
        The table and where it is from, or None and "".
    """
    known = any((cache_directory() / "costs").glob("*.json"))
    if free.coupling == "constrained" or not known:
        return None, ""
    spec, threads = parse_spec(options.get("provider") or "cpu"), options.get("threads", 1)
    table = _known(spec.text, threads)
    if table is None or not table.knows(demanded(free.deps, table)):
        return None, ""
    return table, f"measured on {spec.text}"


@lru_cache(maxsize=4)
def _known(provider: str, threads: int) -> CostTable | None:
    found = look_up(parse_spec(provider), threads)
    return None if found is None else found.table
