"""What a cut did to each layer: the shape of its weight and its multiply-accumulates."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.core.apart import repeated
from onnxprune.core.cuts import Cuts
from onnxprune.report.models import LayerEntry

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from onnxprune.analysis import Analysis
    from onnxprune.core.graph import Node


def layer_entries(
    analysis: Analysis,
    removed: NDArray[np.bool_],
    dead: Collection[int] = (),
    apart: Collection[str] = (),
) -> list[LayerEntry]:
    """List the nodes that multiply with a weight, in the order of the graph.

    Args:
        analysis: the original.
        removed: one flag per label: whether its set leaves.
        dead: numbers of nodes that leave as wholes.
        apart: outputs of nodes that are written once for every consumer; all count.
    """
    deps = analysis.deps
    after = Cuts(deps.ctx, removed, deps.settings[0])
    nothing = np.zeros_like(removed)
    costs = analysis.cost_model
    macs = [costs.by_node(nothing), costs.by_node(removed, dead=dead)]
    more = repeated(deps, removed, apart)
    reads, makes = _groups_by_parameter(analysis)
    entries, seen = [], set()
    for node in deps.graph.all_nodes():
        name = f"{node.scope}{node.name}"
        weight = _weight(analysis, node)
        if weight is None or name not in macs[0] or name in seen:
            continue
        seen.add(name)
        gone = node.index in dead and not node.scope
        times, shape = more.weights.get(weight, (1, after.shape(weight)))
        entries.append(
            LayerEntry(
                node=name,
                op=node.op,
                weight=weight,
                shape_before=list(deps.ctx.parameters[weight].shape),
                shape_after=[] if gone else list(shape),
                macs_before=macs[0][name],
                macs_after=macs[1][name] + more.by_node.get(name, 0),
                times=0 if gone else times,
                reads=reads.get(weight, []),
                makes=makes.get(weight, []),
            )
        )
    return entries


def _weight(analysis: Analysis, node: Node) -> str | None:
    """Return the largest parameter that a node reads, None when it reads none."""
    parameters = analysis.deps.ctx.parameters
    own = [key for key in node.inputs if key in parameters and len(parameters[key].shape) > 1]
    return max(own, key=lambda key: math.prod(parameters[key].shape), default=None)


def _groups_by_parameter(analysis: Analysis) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Return the groups whose channels each parameter reads, and those that it makes."""
    reads: dict[str, list[str]] = {}
    makes: dict[str, list[str]] = {}
    for group in analysis.deps.groups:
        for part in group.slices:
            names = (reads if part.consumed else makes).setdefault(part.parameter, [])
            if group.id not in names:
                names.append(group.id)
    return reads, makes
