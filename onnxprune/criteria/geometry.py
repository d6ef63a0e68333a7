"""Distance to the other filters (He et al., Filter Pruning via Geometric Median, arXiv 1811.00250).

A filter near the geometric median of its layer can be replaced by the others, whatever its norm:
the score is the sum of the Euclidean distances to all others (equation 7). In a coupled group the
scores of all weights that make its channels are added up, each divided by its mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxprune.criteria.magnitude import magnitude, normalised
from onnxprune.criteria.registry import criterion

if TYPE_CHECKING:
    from onnxprune.core.groups import Group
    from onnxprune.core.steps import Scores
    from onnxprune.criteria.registry import ScoreContext

_BLOCK = 512
"""Filters compared with all others at a time."""


@criterion("fpgm")
def fpgm(context: ScoreContext, group: Group) -> Scores:
    """Sum of the distances of an atom's filters to the other filters."""
    parts = []
    for part in group.slices:
        parameter = context.deps.ctx.parameters.get(part.parameter)
        if part.consumed or len(part.axes) > 1 or parameter is None or len(parameter.shape) < 2:
            continue
        filters = np.moveaxis(context.weight(part), part.axes[0], 0)
        parts.append((part.roots, normalised(distances(filters.reshape(len(filters), -1)))))
    if not parts:
        context.notes[group.id] = "no filters make its channels; the weights' magnitude was taken"
        return magnitude(context, group)
    return normalised(context.scatter(group, parts))


def distances(filters: np.ndarray) -> Scores:
    """Return the sum of the Euclidean distances of each row to all rows.

    Args:
        filters: [filters, weights].

    Example:
        >>> import numpy as np
        >>> distances(np.array([[0.0], [1.0], [3.0]])).tolist()
        [4.0, 3.0, 5.0]
    """
    rows = filters.astype(np.float64)
    squares = np.square(rows).sum(axis=1)
    found = []
    for start in range(0, len(rows), _BLOCK):
        mine = slice(start, start + _BLOCK)
        squared = squares[mine, None] + squares - 2 * (rows[mine] @ rows.T)
        near = squared < 1e-9 * (squares[mine, None] + squares)  # what rounding leaves of nothing
        found.append(np.sqrt(np.where(near, 0.0, np.maximum(squared, 0.0))).sum(axis=1))
    return np.concatenate([*found, np.zeros(0)])
