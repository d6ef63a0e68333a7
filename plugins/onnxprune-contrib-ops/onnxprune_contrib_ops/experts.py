"""Mixtures of experts: hidden units leave from all experts at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxprune.rules.api import Operand, Term, macs, rule, shapes
from onnxprune_contrib_ops.domain import MICROSOFT, as_first

if TYPE_CHECKING:
    from onnxprune.rules.api import Factors, LabelContext, Node, Rank

INPUT, HIDDEN, OUTPUT = range(3)  # common axes
EXPERTS = "one for every expert"


@rule("MoE", domain=MICROSOFT)
def experts(ctx: LabelContext, node: Node) -> None:
    """Hidden units, the same ones of every expert; inputs with outputs; experts stay."""
    x_key, _, first_key, _, second_key = node.inputs[:5]
    x_shape, first, second = (ctx.shape(k) or () for k in (x_key, first_key, second_key))
    hidden = second[2]
    if first[1] not in (hidden, 2 * hidden):
        ctx.opaque(node, "weights of experts in a layout that is not followed")
        return
    last = len(x_shape) - 1
    x = ctx.release(ctx.factors(x_key), range(last), "routed one by one")
    ctx.consumes(node, 0, (last,))
    ctx.consumes(node, 4, (2,))  # hidden units are summed by the second weight
    sizes = {INPUT: x_shape[last], HIDDEN: hidden}
    parts = [Operand(ctx.shift(x, {last: INPUT}), {INPUT: x_shape[last]}, x_key)]
    weights = [k for k in (first_key, node.input(6)) if k]
    parts += [Operand(_units(ctx, node, k, hidden), sizes, k) for k in weights]
    units = ctx.contract(parts, (INPUT,))
    met = [Operand(units, {HIDDEN: hidden}, first_key)]
    for key in (node.input(3), node.input(7)):
        if key:
            vector = ctx.shift(_units(ctx, node, key, hidden), {HIDDEN: HIDDEN})
            met.append(Operand(vector, {HIDDEN: hidden}, key))
    outputs = ctx.shift(ctx.release(ctx.factors(second_key), (0,), EXPERTS), {1: OUTPUT, 2: HIDDEN})
    met.append(Operand(outputs, {OUTPUT: second[1], HIDDEN: hidden}, second_key))
    result = [Operand(ctx.contract(met, (HIDDEN,)), {OUTPUT: second[1]}, second_key)]
    # the runtime takes the width of the result from the data
    result.append(Operand(ctx.shift(x, {last: OUTPUT}), {OUTPUT: second[1]}, x_key))
    bias = node.input(5)
    if bias:
        vector = ctx.shift(ctx.release(ctx.factors(bias), (0,), EXPERTS), {1: OUTPUT})
        result.append(Operand(vector, {OUTPUT: second[1]}, bias))
    ctx.set(node.outputs[0], ctx.shift(ctx.align(result), {OUTPUT: last}))


def _units(ctx: LabelContext, node: Node, key: str, hidden: int) -> Factors:
    """View a first weight [experts units(, inputs)] or bias; a unit leaves with its gate."""
    shape = ctx.shape(key) or ()
    factors = ctx.release(ctx.factors(key), (0,), EXPERTS)
    if shape[1] == hidden:
        return ctx.shift(factors, {1: HIDDEN, 2: INPUT})
    chunked = int(node.attribute("swiglu_fusion", 0)) == 2
    pair = (2, hidden) if chunked else (hidden, 2)
    split = ctx.reshape(factors, shape, (shape[0], *pair, *shape[2:]))
    gate, unit = (1, 2) if chunked else (2, 1)
    units = [ctx.collapse(f, (unit,)) if gate in f.axes else f for f in split]
    return ctx.shift(units, {unit: HIDDEN, 3: INPUT})


shapes("MoE", domain=MICROSOFT)(as_first)


@macs("MoE", domain=MICROSOFT)
def expert_macs(node: Node, rank: Rank) -> list[Term]:
    """Count the experts that each token is routed to."""
    used = int(node.attribute("k", 1))
    tokens = tuple((node.inputs[0], a) for a in range((rank(node.inputs[0]) or 1) - 1))
    weights = [k for k in (node.inputs[2], node.inputs[4], node.input(6)) if k]
    return [Term(node, (*tokens, (k, 1), (k, 2)), used) for k in weights]
