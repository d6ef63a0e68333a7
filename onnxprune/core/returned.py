"""Shapes that a graph returns as results: what they count may not leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxprune.core.evaluate import evaluate

if TYPE_CHECKING:
    from onnxprune.core.context import LabelContext
    from onnxprune.core.graph import Graph, Node

REASON = "its size is a result of the network"


def freeze_returned_shapes(ctx: LabelContext, graph: Graph) -> None:
    """Freeze labels along axes whose size can be seen in an output of the graph."""
    returned = [k for k in graph.outputs if k not in ctx.parameters and ctx.probed(k) is not None]
    if not returned:
        return
    nodes = list(graph.all_nodes())
    for key in returned:
        path = _ancestors(key, nodes)
        for node in path:
            if node.op not in ("Shape", "Size"):
                continue
            ctx.enter(node)
            for factor in ctx.factors(node.inputs[0]):
                if _visible(ctx, path, node, factor.axes[-1], key):
                    ctx.freeze([factor], REASON, value=node.inputs[0])


def _ancestors(key: str, nodes: list[Node]) -> list[Node]:
    """Return the shape arithmetic that makes a value, in order."""
    wanted, found = {key}, []
    for node in reversed(nodes):
        if wanted.intersection(node.outputs):
            found.append(node)
            if node.op not in ("Shape", "Size"):
                wanted.update(i for i in node.inputs if i)
    return found[::-1]


def _visible(ctx: LabelContext, path: list[Node], source: Node, axis: int, key: str) -> bool:
    """Tell whether another size of an axis of a value changes an output."""
    shape = ctx.shape(source.inputs[0]) or ()
    for size in {1, shape[axis] // 2, shape[axis] - 1} - {0}:
        values: dict[str, np.ndarray | None] = {}
        for node in path:
            if node is source:
                changed = np.array([*shape[:axis], size, *shape[axis + 1 :]], np.int64)
                start, end = node.attribute("start", 0), node.attribute("end")
                shown = changed[start:end] if node.op == "Shape" else np.array(changed.prod())
                values[node.outputs[0]] = shown
            elif node.op in ("Shape", "Size"):
                values[node.outputs[0]] = ctx.probed(node.outputs[0])
            else:
                given = [values.get(i, ctx.probed(i)) if i else None for i in node.inputs]
                known = all(v is not None or not i for v, i in zip(given, node.inputs, strict=True))
                found = evaluate(node, given) if known else None
                values.update(dict.fromkeys(node.outputs))
                values.update(zip(node.outputs, found or (), strict=found is not None))
        result, before = values[key], ctx.probed(key)
        if result is None or before is None or not np.array_equal(result, before):
            return True
    return False
