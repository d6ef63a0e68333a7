"""Run the label rules over the nodes of a graph, in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxprune.core.graph import ILL_FORMED, PER_INDEX_TYPES
from onnxprune.core.registry import RULES

if TYPE_CHECKING:
    from onnxprune.core.context import LabelContext
    from onnxprune.core.graph import Graph, Node


def walk(ctx: LabelContext, graph: Graph) -> None:
    """Set the factors of every value of a graph.

    Shape arithmetic is skipped: its values carry no labels. A node without a rule, whose shapes are
    unknown, or whose inputs contradict its operator, freezes what goes into it.
    """
    for node in graph.nodes:
        ctx.enter(node)
        if node.op in ("Shape", "Size") and not node.domain:
            ctx.set(node.outputs[0], ())
            continue
        if _is_shape_arithmetic(ctx, node):
            for key in node.outputs:
                ctx.set(key, ())
            ctx.constants.update(o for o in node.outputs if o)
            continue
        _apply_rule(ctx, node)
        if not node.bodies and all(i in ctx.constants for i in node.inputs if i) and node.inputs:
            ctx.constants.update(o for o in node.outputs if o)


def _apply_rule(ctx: LabelContext, node: Node) -> None:
    rule = RULES.lookup(node.op, node.domain, node.since)
    if rule is None:
        ctx.opaque(node, _no_rule(node))
        for key in captures(node):
            ctx.freeze(ctx.factors(key), _no_rule(node), value=key)
    elif not node.bodies and not _shapes_known(ctx, node) and not _blind(node):
        ctx.opaque(node, "a shape depends on data")
    else:
        outer, ctx.claimed = ctx.claimed, set()
        try:
            rule(ctx, node)
        except ILL_FORMED:
            _freeze_all(ctx, node, "its inputs or attributes do not fit the operator")
        for key in node.inputs:  # freedom has to be claimed
            if key and key not in ctx.claimed:
                ctx.freeze(ctx.factors(key), "an operand of the node", value=key)
        ctx.claimed = outer  # a body is walked in the middle of its node's rule


def _freeze_all(ctx: LabelContext, node: Node, reason: str) -> None:
    """Freeze what a node reads, and what its bodies make: its rule stopped half way."""
    ctx.enter(node)
    ctx.opaque(node, reason)
    inside = [graph for body in node.bodies.values() for graph in body.walk()]
    keys = captures(node)
    for graph in inside:
        keys.update(graph.inputs, graph.outputs, graph.parameters)
        keys.update(o for inner in graph.nodes for o in inner.outputs if o)
    for key in keys:
        ctx.freeze(ctx.factors(key), reason, value=key)


def _blind(node: Node) -> bool:
    entry = RULES.find(node.op, node.domain, node.since)
    return entry is not None and entry.blind


def _no_rule(node: Node) -> str:
    return f"no rule for {node.domain or 'ai.onnx'}::{node.op}"


def _is_shape_arithmetic(ctx: LabelContext, node: Node) -> bool:
    if node.bodies or not node.outputs:
        return False
    for key in node.outputs:
        value = ctx.probed(key) if key else None
        if value is None or (value.size > 1 and np.issubdtype(value.dtype, np.floating)):
            return False
    for key in node.inputs:
        parameter = ctx.parameters.get(key)
        if parameter is not None and parameter.dtype in PER_INDEX_TYPES and parameter.shape:
            return False
        if key and ctx.factors_of.get(key):
            return False
    return True


def _shapes_known(ctx: LabelContext, node: Node) -> bool:
    needed = (*node.inputs, *(o for o in node.outputs if o not in ctx.unread))
    return all(ctx.shape(k) is not None for k in needed if k)


def captures(node: Node) -> set[str]:
    """Return the outer values that the bodies of a node read."""
    inside: set[str] = set()
    read: set[str] = set()
    for body in node.bodies.values():
        for graph in body.walk():
            inside.update(graph.inputs, graph.parameters)
            read.update(graph.outputs)
            for inner in graph.nodes:
                inside.update(inner.outputs)
                read.update(inner.inputs)
    return {k for k in read - inside if k}
