"""Measured sensitivity: what silencing a part of a group does to the outputs, per cost saved.

Rate-distortion allocation (Xu et al., arXiv 2308.10438, there for single weights): every group
is silenced at a few levels, all others whole, and the distortion of the network's outputs is
measured. Groups then give steps in the order of distortion per saved cost. A curve that flattens
counts as if it went on rising: what is destroyed already does not make the rest worthless.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxprune.allocation.registry import allocation

if TYPE_CHECKING:
    from onnxprune.allocation.registry import AllocationContext
    from onnxprune.core.steps import Scores

LEVELS = (0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
"""Fractions of what a group may give at which it is measured."""


@allocation("sensitivity", samples=True)
def sensitivity(context: AllocationContext) -> list[Scores]:
    """Measured distortion of the outputs per cost saved, group by group and level by level."""
    assert context.distortion is not None
    nothing = [0] * len(context.candidates)
    everything = context.remaining(nothing)
    found = []
    for number, candidate in enumerate(context.candidates):
        counts = sorted({max(1, round(f * candidate.limit)) for f in LEVELS})
        damage, saved = [0.0], [0.0]
        for count in counts:
            given = [*nothing[:number], count, *nothing[number + 1 :]]
            damage.append(context.distortion(candidate.atoms(count)))
            saved.append(everything - context.remaining(given))
        found.append(_priorities(len(candidate.scores), [0, *counts], damage, saved))
    return found


def _priorities(steps: int, counts: list[int], damage: list[float], saved: list[float]) -> Scores:
    """Return the slope of damage over savings at every step, never falling."""
    rises = np.maximum(np.diff(damage), 0.0) / np.maximum(np.diff(saved), 1e-12)
    slopes = np.repeat(np.maximum.accumulate(rises), np.diff(counts))
    rest = np.full(steps - len(slopes), slopes[-1])
    return np.concatenate([slopes, rest])
