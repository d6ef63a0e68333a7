"""What the groups of a network keep multiples of."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from onnxprune.core.dependencies import Dependencies
    from onnxprune.core.groups import Group
    from onnxprune.core.steps import Limits

    Steps = NDArray[np.int64]

__all__ = ["eased", "limits_of", "steps_of_sets"]

_LEAST = 4
"""Below this, kernels that compute blocks of channels are out of reach anyway."""

_CHOICES = 4
"""Numbers of channels that a group can choose from at least, as far as `_LEAST` permits.

Two are 14 % faster on MobileNetV2 at half of its multiply-accumulates, and as fast on ResNet-20,
which they cost three points more there (128 samples, CIFAR-10); four cost nothing over any number.
"""


def steps_of_sets(deps: Dependencies, steps: Mapping[str, int]) -> Steps:
    """Return the step of every label set: the largest of the layers that have it as channels.

    Args:
        deps: the analysis.
        steps: the provider's step by name of layer.
    """
    found = np.ones(len(deps.roots), np.int64)
    for node in deps.graph.all_nodes():
        for factor in deps.ctx.factors_of.get(node.input(1), ()) if node.name in steps else ():
            sets = deps.roots[np.unique(factor.labels)]
            found[sets] = np.maximum(found[sets], steps[node.name])
    return found


def limits_of(deps: Dependencies, limits: Limits, steps: Steps | None, group: Group) -> Limits:
    """Return the limits of a group, whose step counts channels where `limits` speak of all groups.

    Args:
        deps: the analysis.
        limits: those of all groups.
        steps: the provider's steps, see `steps_of_sets`; None for that of `limits`.
        group: the group.
    """
    step, width = limits.align, _channels(deps, group)
    if steps is not None:
        step = eased(int(steps[group.atoms].max(initial=1)), group.size * width)
    return replace(limits, align=step // math.gcd(step, width), firm=steps is None)


def eased(step: int, channels: int) -> int:
    """Return a step that leaves so many channels something to choose from.

    Example:
        >>> [eased(16, channels) for channels in (16, 32, 64, 128, 256)]
        [4, 8, 16, 16, 16]
    """
    while step > _LEAST and step * _CHOICES > channels:
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
