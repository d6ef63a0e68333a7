"""Choose between plans for one target, by their predicted time and the damage to expect."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from onnxprune.costs import DefaultCosts
from onnxprune.errors import NothingToPruneError, TargetError
from onnxprune.planning.latency import LatencyModel

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    import numpy as np
    from numpy.typing import NDArray

    from onnxprune.analysis import Analysis
    from onnxprune.core.groups import Group
    from onnxprune.planning.selection import Settings

__all__ = ["best_variant"]

Chosen = TypeVar("Chosen")


def best_variant(
    analysis: Analysis,
    settings: Settings,
    groups: Collection[Group],
    choose: Callable[[Settings], Chosen],
    describe: Callable[[Chosen], tuple[NDArray[np.bool_], float]],
) -> Chosen:
    """Choose with every variant of the steps, and return what serves best.

    That is the least time by prediction; where the damage is known, the least product of both; and
    where the time is the target, the least damage, else what computes most.

    Args:
        analysis: the model.
        settings: how to choose.
        groups: those that take part.
        choose: chooses with some settings; it raises TargetError or NothingToPruneError.
        describe: returns what leaves, and the damage that is expected of that, 0 for unknown.
    """
    steps = settings.steps
    variants = [steps] if steps is None else steps.variants(groups)
    found = []
    for variant in variants:
        try:
            found.append(choose(replace(settings, steps=variant)))
        except (TargetError, NothingToPruneError):
            if not found:
                raise
    if len(found) == 1:
        return found[0]
    model = LatencyModel(analysis.deps, settings.layer_costs or DefaultCosts())

    def price(chosen: Chosen) -> float:
        removed, damage = describe(chosen)
        if settings.target.metric == "latency":
            return damage or -float(analysis.cost(removed).macs)
        return model.total(removed) * (damage or 1.0)

    return min(found, key=price)
