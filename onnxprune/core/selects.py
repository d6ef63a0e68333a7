"""Find the Selects of an expanded graph and the label sets on both of their sides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxprune.core.graph import INTERNAL, SELECT

if TYPE_CHECKING:
    from onnxprune.core.dependencies import Dependencies
    from onnxprune.core.graph import Node
    from onnxprune.core.labels import LabelArray


def selects(deps: Dependencies) -> list[Node]:
    """Return the Selects of a graph in order."""
    return [n for n in deps.graph.nodes if n.op == SELECT and n.domain == INTERNAL]


def roots_along(deps: Dependencies, key: str, axis: int) -> LabelArray | None:
    """Return the label set of every index of an axis; None when rows differ, or there is none."""
    factors = [f for f in deps.ctx.factors_of.get(key, ()) if axis in f.axes]
    if len(factors) != 1 or factors[0].axes != (axis,) or factors[0].level:
        return None
    return deps.roots[factors[0].labels]
