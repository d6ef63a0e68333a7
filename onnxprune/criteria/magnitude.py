"""Weight magnitude, summed over everything that leaves with an atom.

Li et al., Pruning Filters for Efficient ConvNets (arXiv 1608.08710), lifted to coupled groups as in
DepGraph (arXiv 2301.12900): an atom's score is the norm over all its slices, divided by the mean of
its group so that groups compare.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxprune.criteria.registry import criterion

if TYPE_CHECKING:
    from onnxprune.core.groups import Group, ParameterSlice
    from onnxprune.core.steps import Scores
    from onnxprune.criteria.registry import ScoreContext

_CHUNK = 1 << 22  # elements converted at a time
_CACHED = 1 << 17  # elements that stay in a processor's cache while they are summed


@criterion("l1")
def l1(context: ScoreContext, group: Group) -> Scores:
    """Sum of absolute weights."""
    return normalised(power_sum(context, group, 1))


@criterion("l2")
def l2(context: ScoreContext, group: Group) -> Scores:
    """Euclidean norm of the weights."""
    return magnitude(context, group)


def magnitude(context: ScoreContext, group: Group) -> Scores:
    """Return the norm of each atom's weights, divided by the mean of its group."""
    return normalised(np.sqrt(power_sum(context, group, 2)))


def normalised(scores: Scores) -> Scores:
    """Return scores divided by their mean."""
    mean = scores.mean() if scores.size else 0.0
    return scores / mean if mean > 0 else scores


def power_sum(context: ScoreContext, group: Group, power: int) -> Scores:
    """Return the sum of |w|^power over everything that leaves with each atom."""
    stored = [p for p in group.slices if p.parameter in context.deps.ctx.parameters]
    solid = [p for p in stored if len(context.deps.ctx.parameters[p.parameter].shape) > 1]
    parts = [(p, _per_index(context, p, power)) for p in solid or stored]
    return context.gather(group, parts)


def _per_index(context: ScoreContext, part: ParameterSlice, power: int) -> np.ndarray:
    key = (part.parameter, part.axes, power)
    if key not in context.cache:
        weight = context.weight(part)
        if part.axes in ((0,), (1,)) and weight.ndim > 1 and 0 < weight[:1].size <= _CHUNK:
            sums = matrix_power_sums(weight, power)
            for axis, values in enumerate(sums):
                context.cache[part.parameter, (axis,), power] = values
        else:
            context.cache[key] = axis_power_sum(weight, part.axes, power)
    found: np.ndarray = context.cache[key]
    return found


def matrix_power_sums(weight: np.ndarray, power: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the sums of |w|^power per index of the first and of the second axis, in one pass.

    Args:
        weight: any real array of two or more axes, not empty.
        power: 1 or 2.
    """
    outputs, inputs = weight.shape[:2]
    rows = weight.reshape(outputs, -1)
    per_row, per_column = np.empty(outputs), np.zeros(rows.shape[1])
    step = max(1, _CACHED // rows.shape[1])
    for start in range(0, outputs, step):
        block = rows[start : start + step]
        if block.dtype not in (np.float32, np.float64):
            block = block.astype(np.float32)
        block = np.abs(block) if power == 1 else np.square(block)
        per_row[start : start + step] = block.sum(axis=1)
        per_column += block.sum(axis=0)
    return per_row, per_column.reshape(inputs, -1).sum(axis=1)


def axis_power_sum(weight: np.ndarray, axes: tuple[int, ...], power: int) -> np.ndarray:
    """Return the sum of |w|^power per index of some axes, in bounded memory.

    Args:
        weight: any real array.
        axes: axes of the result, in order.
        power: 1 or 2.
    """
    first, *rest = axes
    rows = weight if first == 0 else np.moveaxis(weight, first, 0)
    others = tuple(range(1, weight.ndim))
    inner = [a + (a < first) for a in rest]
    per_row = max(1, weight.size // max(1, len(rows)))
    step = max(1, _CHUNK // per_row)
    summed = tuple(a for a in others if a not in inner)
    result = []
    for start in range(0, len(rows), step):
        block = rows[start : start + step].astype(np.float64)
        block = np.abs(block) if power == 1 else np.square(block, out=block)
        result.append(block.sum(axis=summed))
    return np.concatenate(result)
