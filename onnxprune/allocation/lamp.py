"""Layer-adaptive allocation (Lee et al., LAMP, arXiv 2010.07611, equation 3) of any criterion.

The squared score of a step is divided by those of all steps that leave no earlier: its share of
what is left then. With the criterion `l2` these are LAMP's own scores; unlike the plain threshold
it compares groups whatever their width, and never empties one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxprune.allocation.registry import allocation

if TYPE_CHECKING:
    from onnxprune.allocation.registry import AllocationContext
    from onnxprune.core.steps import Scores


@allocation("lamp")
def lamp(context: AllocationContext) -> list[Scores]:
    """One threshold on squared scores relative to what is left of their group."""
    return [_priorities(c.scores) for c in context.candidates]


def _priorities(scores: Scores) -> Scores:
    squares = np.square(np.maximum(scores - min(0.0, scores.min(initial=0.0)), 0.0))
    rest = np.cumsum(squares[::-1])[::-1]
    shares = np.divide(squares, rest, out=np.zeros(len(scores)), where=rest > 0)
    return np.maximum.accumulate(shares) if len(shares) else shares
