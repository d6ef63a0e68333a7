"""How much is worth doing: more samples where fits need them, joint steps where these are cheap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.recovery.moments import ROWS_PER_FEATURE
from onnxprune.runtime.segment import needed_steps, open_segment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnxprune.recovery.sites import Site
    from onnxprune.runtime.feeds import Feed
    from onnxprune.runtime.segment import Program

_COPIES = 6
"""Samples are made of each at most."""

_ELEMENTS = 6e8
"""Elements of all rows that samples may have once more of them were made."""

_ELEMENTS_PER_S, _MACS_PER_S = 1.5e8, 4e10
"""Speeds of a core, roughly; what is done may not depend on the speed of the machine."""

_SECONDS = 31.0
"""What joint steps may take at such speeds."""

_LEAST, _MOST = 5, 20
"""Joint steps that are worth starting for, and those that are enough."""


@dataclass(frozen=True, slots=True)
class Effort:
    """What a network's operators take for one sample.

    Attributes:
        scarcity: features for each row, the mean over all multiply-accumulates.
        elements: elements of the rows of all operators.
        macs: multiply-accumulates of all operators.
    """

    scarcity: float
    elements: float
    macs: float

    def copies(self, samples: int) -> int:
        """Return how many samples are made of each of so many."""
        missing = round(self.scarcity * ROWS_PER_FEATURE / samples) - 1
        affordable = int(_ELEMENTS / max(self.elements * samples, 1.0)) - 1
        return max(0, min(missing, affordable, _COPIES))

    def rounds(self, samples: int) -> int:
        """Return how many joint steps are made on so many samples."""
        rounds = int(_SECONDS / (self._seconds * samples))
        return min(rounds, _MOST) if rounds >= _LEAST else 0

    @property
    def _seconds(self) -> float:
        """Time of a joint step for one sample."""
        return self.elements / _ELEMENTS_PER_S + 3 * self.macs / _MACS_PER_S + 1e-9


def measure(program: Program, sites: Sequence[Site], sample: Feed) -> Effort:
    """Run one sample and count.

    Args:
        program: the network.
        sites: operators that are repaired.
        sample: a feed.
    """
    wanted = {v: None for s in sites for v in (s.x, s.target)}
    made = [v for v in wanted if v not in sample]
    values = {n: a for n, a in sample.items() if isinstance(a, np.ndarray)}
    if made:
        steps = needed_steps(program, range(len(program.steps)), made)
        values |= open_segment(program, steps, made, weights={}, biases={}, like=values)(values)
    needed = elements = macs = total = 0.0
    for site in sites:
        x, y = values[site.x], values[site.target]
        rows, features = site.view.rows(x, y), site.channels * site.block / site.groups
        work = features * y.size
        needed += work * features / max(rows, 1)
        elements += rows * features * site.groups
        macs += 0.0 if site.pointwise else work
        total += work
    return Effort(needed / max(total, 1.0), elements, macs)
