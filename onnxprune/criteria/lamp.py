"""Layer-adaptive magnitude (Lee et al., arXiv 2010.07611, equation 3), lifted to coupled groups.

An atom's squared weights are divided by those of all atoms of its group that are at least as large:
its share of what is left when the smaller ones are gone. The largest atom of every group scores 1,
so one threshold on all groups never empties a group, and narrow groups are spared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxprune.criteria.magnitude import power_sum
from onnxprune.criteria.registry import criterion

if TYPE_CHECKING:
    from onnxprune.core.groups import Group
    from onnxprune.core.steps import Scores
    from onnxprune.criteria.registry import ScoreContext


@criterion("lamp")
def lamp(context: ScoreContext, group: Group) -> Scores:
    """Squared weights relative to those of all atoms of the group that are not smaller."""
    squares = power_sum(context, group, 2)
    order = np.argsort(squares, kind="stable")
    scores = np.empty(group.size)
    scores[order] = share_of_rest(squares[order])
    return scores


def share_of_rest(rising: Scores) -> Scores:
    """Return each value relative to the sum of itself and all after it.

    Args:
        rising: values from 0, in rising order.

    Example:
        >>> import numpy as np
        >>> share_of_rest(np.array([1.0, 1.0, 2.0])).tolist()
        [0.25, 0.3333333333333333, 1.0]
    """
    rest = np.cumsum(rising[::-1])[::-1]
    return np.divide(rising, rest, out=np.zeros(len(rising)), where=rest > 0)
