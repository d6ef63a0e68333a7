"""LSTM that quantises what it reads at every step: a unit is a column of every gate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxprune.rules.api import Change, Operand, macs, recurrent_macs, rule, shapes, update
from onnxprune_contrib_ops.domain import MICROSOFT, element_type, known

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnxprune.rules.api import Cuts, Factors, Inferred, LabelContext, Node, Shapes

OP = "DynamicQuantizeLSTM"
GATES = 4
INPUT, HIDDEN = 0, 1  # common axes
_STAYS = {0: "steps stay", 1: "the range is measured over the batch"}

macs(OP, domain=MICROSOFT)(recurrent_macs)


@rule(OP, domain=MICROSOFT)
def dynamic_lstm(ctx: LabelContext, node: Node) -> None:
    """Input features, and hidden units with all their gates, states and outputs."""
    if not _silent(node):
        ctx.opaque(node, "a unit without weights would not stay at zero")
        return
    x_key, w_key, r_key = node.inputs[:3]
    inputs, hidden = ((ctx.shape(k) or ())[1] for k in (w_key, r_key))
    x = ctx.factors(x_key)
    for axis, reason in _STAYS.items():
        x = ctx.release(x, (axis,), reason)
    ctx.consumes(node, 0, (2,))
    w, r = (_units(ctx, key, GATES, hidden) for key in (w_key, r_key))
    summed = ctx.contract(
        [Operand(ctx.shift(x, {2: INPUT}), {INPUT: inputs}, x_key),
         Operand(w, {INPUT: inputs, HIDDEN: hidden}, w_key)],
        (INPUT,),
    )  # fmt: skip
    parts = [(summed, w_key), (tuple(f for f in r if f.axes == (HIDDEN,)), r_key)]
    fed_back = [f for f in r if f.axes == (INPUT,)]
    parts.append((ctx.shift(fed_back, {INPUT: HIDDEN}), r_key))
    ctx.freeze([f for f in r if len(f.axes) > 1], "recurrent weights with labels over several axes")
    # A unit without weights is zero at every step, and ranges hold zero.
    for position, axes, zero in ((1, (2,), 9), (2, (1, 2), 11)):
        along = (0, 2)[: len(ctx.shape(node.inputs[zero]) or ())]
        ctx.consumes(node, position, axes, zero=zero, zero_axes=along, per_group=1)
    parts += [*_vectors(ctx, node, hidden), *_states(ctx, node)]
    units = ctx.align([Operand(factors, {HIDDEN: hidden}, key) for factors, key in parts])
    for key in node.outputs:
        if key:
            ctx.set(key, ctx.shift(units, {HIDDEN: len(ctx.shape(key) or ()) - 1}))


def _vectors(ctx: LabelContext, node: Node, hidden: int) -> Iterator[tuple[Factors, str]]:
    """Yield biases, peepholes, and scales and zero points of single columns."""
    gates = {3: 2 * GATES, 7: 3, 8: GATES, 9: GATES, 10: GATES, 11: GATES}
    for position, count in gates.items():
        key = node.input(position)
        if key and len(ctx.shape(key) or ()) == 2:
            yield _units(ctx, key, count, hidden), key
            if position in (3, 7):
                ctx.consumes(node, position, (1,), per_group=1)


def _states(ctx: LabelContext, node: Node) -> Iterator[tuple[Factors, str]]:
    """Yield the states to begin with, silenced as the units are."""
    for position in (5, 6):
        key = node.input(position)
        if key:
            state = ctx.release(ctx.factors(key), (0,), "directions stay")
            state = ctx.release(state, (1,), _STAYS[1])
            ctx.consumes(node, position, (2,), per_group=1)
            yield ctx.shift(state, {2: HIDDEN}), key


def _silent(node: Node) -> bool:
    """Tell whether a unit without weights is zero at every step."""
    names = [a.decode() if isinstance(a, bytes) else a for a in node.attribute("activations", [])]
    return all(name == "Tanh" for name in (*names[1::3], *names[2::3]))


def _units(ctx: LabelContext, key: str, gates: int, hidden: int) -> Factors:
    """View [directions, (inputs,) gates * hidden] and unite the gates of a unit."""
    shape = ctx.shape(key) or ()
    last = len(shape) - 1
    factors = ctx.release(ctx.factors(key), (0,), "directions stay")
    split = ctx.reshape(factors, shape, (*shape[:-1], gates, hidden))
    units = [ctx.collapse(f, (last + 1,)) if last in f.axes else f for f in split]
    return ctx.shift(units, {last + 1: HIDDEN} | ({1: INPUT} if last == 2 else {}))


@shapes(OP, domain=MICROSOFT)
def lstm_shapes(found: Shapes, node: Node) -> Inferred:
    """As LSTM."""
    steps, batch, _ = known(found, node.inputs[0])
    directions, hidden, _ = known(found, node.inputs[2])
    kind = element_type(found, node.inputs[0])
    state = (kind, (directions, batch, hidden))
    return [(kind, (steps, directions, batch, hidden)), state, state]


@update(OP, domain=MICROSOFT)
def hidden_size(cuts: Cuts, node: Node) -> Change:
    """Write the new number of hidden units."""
    return Change(attributes={"hidden_size": cuts.size(node.inputs[2], 1)})
