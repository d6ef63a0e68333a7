"""Scale of batch normalisation (Liu et al., Network Slimming, arXiv 1708.06519).

The scales that an atom's channel passes, averaged. They compare between layers as they are. Most
exporters fold batch normalisation into the weights in front of it; such a model is refused, and a
group without one in a model that has some gets its weights' magnitude on the scale of the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxprune.criteria.magnitude import magnitude
from onnxprune.criteria.registry import criterion
from onnxprune.errors import InvalidConfigError

if TYPE_CHECKING:
    from onnxprune.core.groups import Group
    from onnxprune.core.steps import Scores
    from onnxprune.criteria.registry import ScoreContext


@criterion("bn-scale")
def bn_scale(context: ScoreContext, group: Group) -> Scores:
    """Absolute scale of the batch normalisation that the channel passes."""
    scales = {
        node.inputs[1]
        for node in context.deps.graph.all_nodes()
        if node.op == "BatchNormalization" and not node.domain
    } & context.deps.ctx.parameters.keys()
    if not scales:
        message = "criterion bn-scale looks at BatchNormalization, and there is none with weights"
        hint = "exporters fold it into the weights in front; take l2, lamp or fpgm"
        raise InvalidConfigError(message, hint=hint)
    parts = [
        (p.roots, np.abs(context.weight(p).astype(np.float64)))
        for p in group.slices
        if p.parameter in scales and p.axes == (0,)
    ]
    total = context.scatter(group, parts)
    count = context.scatter(group, [(roots, np.ones(len(roots))) for roots, _ in parts])
    known = count > 0
    if known.all():
        return total / count
    context.notes[group.id] = "it passes no BatchNormalization; the weights' magnitude was taken"
    everything = [np.abs(context.read(context.deps.ctx.parameters[k].tensor)) for k in scales]
    usual = float(np.mean([a.mean(dtype=np.float64) for a in everything]))
    return np.where(known, total / np.maximum(count, 1), usual * magnitude(context, group))
