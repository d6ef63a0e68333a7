"""How often a Loop runs: its condition computed trip by trip, where only sizes decide.

Exporters of TensorFlow write a recurrent layer as a Loop without a number of trips, which counts up
to the number of steps by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxprune.core.evaluate import evaluate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onnxprune.core.graph import Graph, Node

    Known = Mapping[str, np.ndarray]

MAX_TRIPS = 1 << 12
"""A condition is computed so many times at most."""

MAX_LENGTH = 1 << 24
"""A loop that may run more often than this ends by its condition."""


def trips(node: Node, known: Known) -> int | None:
    """Return how often a Loop runs, None when data decide.

    Args:
        node: the loop, whose body was walked.
        known: contents of values, those inside the body that are the same at every trip as well.
    """
    maximum = known.get(node.inputs[0]) if node.inputs[0] else None
    limit = None if maximum is None or maximum.size != 1 else int(maximum.item())
    counted = _counted(node, known, limit)
    if counted is not None:
        return counted
    return limit if limit is not None and limit <= MAX_LENGTH else None


def _counted(node: Node, known: Known, limit: int | None) -> int | None:
    body, going = node.bodies["body"], node.input(1)
    sources = {"": np.ones((), bool), **known}
    if going not in sources:
        return None
    count, condition = 0, sources[going]
    values = {
        inner: known[outer]
        for outer, inner in zip(node.inputs[2:], body.inputs[2:], strict=False)
        if outer in known
    }
    deciding = _deciding(body)
    while condition.any() and count != limit:
        if count == MAX_TRIPS:
            return None
        values |= {body.inputs[0]: np.array(count), body.inputs[1]: condition}
        made = {**known, **values}
        for inner in deciding:
            found = evaluate(inner, [made.get(k) if k else None for k in inner.inputs])
            if found is None:
                return None
            made |= {k: v for k, v in zip(inner.outputs, found, strict=False) if k}
        if body.outputs[0] not in made:
            return None
        count, condition = count + 1, made[body.outputs[0]]
        values = {
            inner: made[result]
            for inner, result in zip(body.inputs[2:], body.outputs[1:], strict=False)
            if result in made
        }
    return count


def _deciding(body: Graph) -> list[Node]:
    """Return the nodes that the condition depends on, through states of earlier trips as well."""
    makers = {output: n for n in body.nodes for output in n.outputs}
    earlier = dict(zip(body.inputs[2:], body.outputs[1:], strict=False))
    needed: set[str] = set()
    pending = [body.outputs[0]]
    while pending:
        key = pending.pop()
        if key and key not in needed:
            needed.add(key)
            pending += makers[key].inputs if key in makers else ()
            pending += [earlier[key]] if key in earlier else ()
    return [n for n in body.nodes if needed.intersection(n.outputs)]
