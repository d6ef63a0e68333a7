"""What groups keep multiples of: steps in which layers are fast, smaller ones in small groups.

A small group that keeps multiples of a whole step has next to nothing to choose from, and one that
keeps multiples of less gives away time. Which of the two a network is better off with depends on
both, so plans are tried either way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from onnxprune.core.dependencies import Dependencies
    from onnxprune.core.groups import Group
    from onnxprune.core.steps import Limits

__all__ = ["Steps", "eased", "find_steps", "limits_of"]

_LEAST = 4
"""Below this, kernels that compute blocks of channels are out of reach anyway."""

_CHOICES = (4, 2)
"""Numbers of channels that a group can choose from at least, as far as `_LEAST` permits."""


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """The steps of a provider.

    Attributes:
        of_sets: the step of every label set: the largest of the layers that have it as channels.
        choices: numbers of channels that a group can choose from at least.
    """

    of_sets: NDArray[np.int64]
    choices: int = _CHOICES[0]

    def of(self, group: Group, width: int) -> int:
        """Return the step of a group, in channels, `width` of which go with an atom."""
        step = int(self.of_sets[group.atoms].max(initial=1))
        return eased(step, group.size * width, self.choices)

    def variants(self, groups: Iterable[Group]) -> list[Steps]:
        """Return steps that leave small groups more or less of a choice, as far as they differ."""
        groups = list(groups)
        found: dict[tuple[int, ...], Steps] = {}
        for choices in _CHOICES:
            steps = replace(self, choices=choices)
            found.setdefault(tuple(steps.of(g, 1) for g in groups), steps)
        return list(found.values())


def find_steps(deps: Dependencies, steps: Mapping[str, int]) -> Steps:
    """Return the steps of a network.

    Args:
        deps: the analysis.
        steps: the provider's step by name of layer.
    """
    found = np.ones(len(deps.roots), np.int64)
    for node in deps.graph.all_nodes():
        for factor in deps.ctx.factors_of.get(node.input(1), ()) if node.name in steps else ():
            sets = deps.roots[np.unique(factor.labels)]
            found[sets] = np.maximum(found[sets], steps[node.name])
    return Steps(found)


def limits_of(deps: Dependencies, limits: Limits, steps: Steps | None, group: Group) -> Limits:
    """Return the limits of a group, whose step counts atoms where that of `limits` counts channels.

    Args:
        deps: the analysis.
        limits: those of all groups.
        steps: the provider's steps, None for that of `limits`.
        group: the group.
    """
    width = _channels(deps, group)
    step = limits.align if steps is None else steps.of(group, width)
    return replace(limits, align=step // math.gcd(step, width), firm=steps is None)


def eased(step: int, channels: int, choices: int = _CHOICES[0]) -> int:
    """Return a step that leaves so many channels something to choose from.

    Example:
        >>> [eased(16, channels) for channels in (16, 32, 64, 128, 256)]
        [4, 8, 16, 16, 16]
    """
    while step > _LEAST and step * choices > channels:
        step //= 2
    return step


def _channels(deps: Dependencies, group: Group) -> int:
    """Return how many channels go with an atom: one, or those of a head."""
    found = 0
    for part in group.slices:
        if part.level == group.level and len(deps.ctx.shape(part.parameter) or ()) > 1:
            mine = part.roots[np.isin(part.roots, group.atoms)]
            found = math.gcd(found, *np.unique(mine, return_counts=True)[1].tolist())
    return found or 1
