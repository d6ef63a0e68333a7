"""LSTM, GRU and RNN: a hidden unit is one row of every gate and one column of the recurrence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxprune.core.context import Operand
from onnxprune.core.cuts import Change
from onnxprune.core.registry import rule, update

if TYPE_CHECKING:
    from onnxprune.core.context import LabelContext
    from onnxprune.core.cuts import Cuts
    from onnxprune.core.graph import Node
    from onnxprune.core.labels import Factors

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
STEP, DIRECTION, BATCH, INPUT, HIDDEN = range(5)  # common axes


@rule("LSTM", "GRU", "RNN")
def recurrent(ctx: LabelContext, node: Node) -> None:
    """Input features, and hidden units with all their gates, states and outputs; batch passes."""
    gates = GATES[node.op]
    x_key, w_key, r_key = node.inputs[:3]
    x_shape, w_shape, r_shape = (ctx.shape(k) for k in (x_key, w_key, r_key))
    if x_shape is None or w_shape is None or r_shape is None:
        ctx.opaque(node, "shape unknown")
        return
    hidden, inputs = r_shape[2], w_shape[2]
    batch_first = bool(node.attribute("layout", 0))
    outer = [BATCH, STEP] if batch_first else [STEP, BATCH]
    x = ctx.shift(ctx.factors(x_key), {0: outer[0], 1: outer[1], 2: INPUT})
    x = ctx.release(x, (STEP,), "steps stay")
    batch = x_shape[0 if batch_first else 1]
    w = _units(ctx, w_key, gates, hidden, inputs)
    ctx.consumes(node, 0, (2,))
    ctx.consumes(node, 2, (2,))  # a unit that leaves is no longer fed back
    summed = ctx.contract(
        [
            Operand(x, {BATCH: batch, INPUT: inputs}, x_key),
            Operand(w, {INPUT: inputs, HIDDEN: hidden}, w_key),
        ],
        (INPUT,),
    )
    space = {HIDDEN: hidden}
    parts = [Operand(summed, {BATCH: batch, HIDDEN: hidden}, w_key)]
    recurrence = _units(ctx, r_key, gates, hidden, hidden)
    parts.append(Operand(tuple(f for f in recurrence if f.axes == (HIDDEN,)), space, r_key))
    columns = [f for f in recurrence if f.axes == (INPUT,)]
    parts.append(Operand(ctx.shift(columns, {INPUT: HIDDEN}), space, r_key))
    others = [f for f in recurrence if len(f.axes) > 1]
    ctx.freeze(others, "recurrent weights with labels over several axes")
    if node.input(3):
        parts.append(Operand(_units(ctx, node.inputs[3], 2 * gates, hidden, None), space, r_key))
    for position in (5, 6):  # initial states
        key = node.input(position)
        if key:
            first = (BATCH, DIRECTION) if batch_first else (DIRECTION, BATCH)
            state = ctx.shift(ctx.factors(key), {0: first[0], 1: first[1], 2: HIDDEN})
            state = ctx.release(state, (DIRECTION,), "directions stay")
            parts.append(Operand(state, {BATCH: batch, HIDDEN: hidden}, key))
    if node.op == "LSTM" and node.input(7):
        parts.append(Operand(_units(ctx, node.inputs[7], 3, hidden, None), space, node.inputs[7]))
    if node.input(4):
        lengths = ctx.shift(ctx.factors(node.inputs[4]), {0: BATCH})
        parts.append(Operand(lengths, {BATCH: batch}, node.inputs[4]))
    units = ctx.align(parts)
    for key in node.outputs:
        if key:
            last = len(ctx.shape(key) or ()) - 1
            ctx.set(key, ctx.shift(units, {HIDDEN: last, BATCH: 0 if batch_first else last - 1}))


def _units(ctx: LabelContext, key: str, gates: int, hidden: int, inputs: int | None) -> Factors:
    """View weights [directions, gates * hidden(, inputs)] and unite the gates of a unit."""
    shape = ctx.shape(key) or ()
    if shape[1] != gates * hidden:
        ctx.freeze(ctx.factors(key), "weights of another size than gates x hidden")
        return ()
    rest = () if inputs is None else (inputs,)
    view = (shape[0], gates, hidden, *rest)
    factors = ctx.release(ctx.factors(key), (0,), "directions stay")
    split = ctx.reshape(factors, shape, view)
    units = [ctx.collapse(f, (2,)) if 1 in f.axes else f for f in split]
    return ctx.shift(units, {2: HIDDEN, 3: INPUT})


@update("LSTM", "GRU", "RNN")
def hidden_size(cuts: Cuts, node: Node) -> Change:
    """Write the new number of hidden units."""
    return Change(attributes={"hidden_size": cuts.size(node.inputs[2], 2)})
