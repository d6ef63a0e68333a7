"""Criteria that look at what flows through the channels of a group's consumers.

Wanda's score, summed over a channel (Sun et al., arXiv 2306.11695), FLAP's weighted fluctuation
(An et al., arXiv 2312.11983) and the plain variance of an activation. Each consumer's scores are
divided by their sum, so that consumers and groups compare.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxprune.criteria.registry import criterion
from onnxprune.errors import InvalidConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from onnxprune.core.dependencies import Group
    from onnxprune.core.steps import Scores
    from onnxprune.criteria.registry import ConsumerStats, ScoreContext


@criterion("wanda")
def wanda(context: ScoreContext, group: Group) -> Scores:
    """Mean square of the activation times the squared norm of the weights that read it."""
    return _summed(context, group, lambda c: c.power * c.weight)


@criterion("flap")
def flap(context: ScoreContext, group: Group) -> Scores:
    """Variance of the activation times the squared norm of the weights that read it."""
    return _summed(context, group, lambda c: c.variance * c.weight)


@criterion("variance")
def variance(context: ScoreContext, group: Group) -> Scores:
    """Variance of the activation."""
    return _summed(context, group, lambda c: c.variance)


def _summed(
    context: ScoreContext, group: Group, value: Callable[[ConsumerStats], Scores]
) -> Scores:
    if context.consumers is None:
        message = "this criterion looks at activations, and there are no samples"
        raise InvalidConfigError(message, hint="give some with --calibration")
    position = np.full(len(context.deps.roots), -1)
    position[group.atoms] = np.arange(group.size)
    scores = np.zeros(group.size)
    for consumer in context.consumers:
        values = value(consumer)
        for labels in consumer.labels:
            where = position[labels]
            mine = where >= 0
            if mine.any():
                np.add.at(scores, where[mine], values[mine] / (values.sum() + 1e-30))
    return scores
