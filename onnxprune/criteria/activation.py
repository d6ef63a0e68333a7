"""Criteria that look at what flows through the channels of a group's consumers.

Wanda's score, summed over a channel (Sun et al., arXiv 2306.11695), FLAP's weighted fluctuation
(An et al., arXiv 2312.11983), the plain variance (Berisha et al., arXiv 2507.12988), the
mean (Molchanov et al., arXiv 1611.06440) and the average percentage
of zeros (Hu et al., arXiv 1607.03250). Each consumer's scores are divided by their sum, so that
consumers and groups compare, and added up. Atoms that no consumer tells of get what their weights'
magnitude says, on the same scale.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxprune.criteria.magnitude import magnitude
from onnxprune.criteria.registry import criterion

if TYPE_CHECKING:
    from collections.abc import Callable

    from onnxprune.core.groups import Group
    from onnxprune.core.steps import Scores
    from onnxprune.criteria.registry import ConsumerStats, ScoreContext


@criterion("wanda", samples=True)
def wanda(context: ScoreContext, group: Group) -> Scores:
    """Mean square of the activation times the squared norm of the weights that read it."""
    return _summed(context, group, lambda c: c.power * c.weight)


@criterion("flap", samples=True)
def flap(context: ScoreContext, group: Group) -> Scores:
    """Variance of the activation times the squared norm of the weights that read it."""
    return _summed(context, group, lambda c: c.variance * c.weight)


@criterion("variance", samples=True)
def variance(context: ScoreContext, group: Group) -> Scores:
    """Variance of the activation."""
    return _summed(context, group, lambda c: c.variance)


@criterion("mean", samples=True)
def mean(context: ScoreContext, group: Group) -> Scores:
    """Mean absolute value of the activation."""
    return _summed(context, group, lambda c: c.magnitude)


@criterion("apoz", samples=True)
def apoz(context: ScoreContext, group: Group) -> Scores:
    """Share of the activation that is not zero."""
    position = np.isin(np.arange(len(context.deps.roots)), group.atoms)
    mine = [c for c in context.consumers or () if any(position[a].any() for a in c.labels)]
    if mine and not any((c.active < 1).any() for c in mine):
        context.notes[group.id] = "its activations are never zero; the weights' magnitude was taken"
        return magnitude(context, group) / group.size
    return _summed(context, group, lambda c: c.active)


def _summed(
    context: ScoreContext, group: Group, value: Callable[[ConsumerStats], Scores]
) -> Scores:
    told = []
    for consumer in context.consumers or ():
        values = value(consumer)
        shares = values / (values.sum() + 1e-30)
        told += [(labels, shares) for labels in consumer.labels]
    scores = context.scatter(group, told)
    known = context.scatter(group, [(a, np.ones(len(a))) for a, _ in told]) > 0
    if not known.all():
        context.notes[group.id] = "no samples tell of it; the weights' magnitude was taken"
        scores = np.where(known, scores, magnitude(context, group) / group.size)
    return scores
