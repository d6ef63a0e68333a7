"""What groups offer to a knapsack: numbers of steps, with the damage that their curves expect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxprune.allocation.knapsack import Offer
from onnxprune.recovery.curves import Curve

if TYPE_CHECKING:
    from onnxprune.core.groups import Group
    from onnxprune.core.steps import Candidate

_LEVELS = 33


def flat_curve(group: Group) -> Curve:
    """Return a curve that says nothing."""
    counts = np.arange(group.size + 1)
    return Curve(group, counts, np.zeros(len(counts)), np.zeros(group.size))


def offer(curve: Curve, candidate: Candidate) -> Offer:
    """Return levels of a group in steps, with the damage its curve expects.

    Args:
        curve: the curve of the group.
        candidate: the group with its steps.
    """
    wanted = {round(f * candidate.limit) for f in np.linspace(0, 1, _LEVELS)}
    counts = sorted({0, *map(candidate.clip, wanted)})
    return Offer(tuple(counts), tuple(curve.at(len(candidate.atoms(n))) for n in counts))
