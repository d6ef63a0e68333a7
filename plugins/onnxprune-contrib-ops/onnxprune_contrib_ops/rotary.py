"""Rotary embedding and linear attention: heads leave whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxprune.rules.api import Change, heads_left, rule, shapes, update
from onnxprune_contrib_ops.attention import Heads, heads_of, set_flat, whole
from onnxprune_contrib_ops.domain import MICROSOFT, as_first

if TYPE_CHECKING:
    from onnxprune.rules.api import Cuts, LabelContext, Node


def _heads(shape: tuple[int, ...], tables: tuple[int, ...], node: Node) -> int:
    """Return the number of heads: from the attribute, the layout, or the tables of angles."""
    if len(shape) == 4:
        return shape[1]
    return int(node.attribute("num_heads", 0)) or shape[2] // (2 * tables[1])


@rule("RotaryEmbedding", domain=MICROSOFT)
def rotary(ctx: LabelContext, node: Node) -> None:
    """Whole heads leave; steps stay."""
    shape = ctx.shape(node.inputs[0]) or ()
    count = _heads(shape, ctx.shape(node.inputs[2]) or (), node)
    found: Heads = heads_of(ctx, node.inputs[0], count)
    kept = whole(ctx, found, "turned by its position in the head")
    if len(shape) == 4:
        ctx.set(node.outputs[0], ctx.shift(kept.factors, {0: 1}))
    else:
        set_flat(ctx, node.outputs[0], kept.factors, count, found.size)


shapes("RotaryEmbedding", domain=MICROSOFT)(as_first)


@update("RotaryEmbedding", domain=MICROSOFT)
def rotary_heads(cuts: Cuts, node: Node) -> Change:
    """Write the number of heads where it is given."""
    given = int(node.attribute("num_heads", 0))
    if not given:
        return Change()
    key = node.inputs[0]
    if len(cuts.old_shape(key)) == 4:
        return Change(attributes={"num_heads": cuts.size(key, 1)})
    return Change(attributes={"num_heads": heads_left(cuts, key, given)})
