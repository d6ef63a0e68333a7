"""Operators that repeat data or make constant data: the new axis may have any size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxprune.core.cuts import Change
from onnxprune.core.labels import Factor
from onnxprune.core.registry import rule, update

if TYPE_CHECKING:
    from onnxprune.core.context import LabelContext
    from onnxprune.core.cuts import Cuts
    from onnxprune.core.graph import Node


def free_axes(ctx: LabelContext, key: str, axes: list[int]) -> list[Factor]:
    """Label axes along which all elements are equal, where their size is fixed."""
    shape = ctx.shape(key) or ()
    return [
        factor
        for a in axes
        if shape[a] > 1 and not ctx.shapes.is_dynamic(key, a)
        for factor in ctx.label(key, a, shape[a])
    ]


@rule("Expand")
def expand(ctx: LabelContext, node: Node) -> None:
    """All axes pass; one that grows from size one may have any size."""
    before, after = ctx.shape(node.inputs[0]) or (), ctx.shape(node.outputs[0]) or ()
    offset = len(after) - len(before)
    factors = [f.rename(a + offset for a in f.axes) for f in ctx.factors(node.inputs[0])]
    grown = [a for a in range(len(after)) if a < offset or before[a - offset] == 1]
    if ctx.probed(node.inputs[1]) is not None:
        factors += free_axes(ctx, node.outputs[0], grown)
    ctx.set(node.outputs[0], factors)


@update("Expand")
def expand_shape(cuts: Cuts, node: Node) -> Change:
    """Sizes written into the operand follow the cut."""
    known = cuts.known(node.inputs[1])
    if known is None:
        return Change()
    new = cuts.shape(node.outputs[0])[len(cuts.shape(node.outputs[0])) - len(known) :]
    wanted = [int(v) if v == 1 else size for v, size in zip(known.tolist(), new, strict=True)]
    return Change(operands={1: wanted})


@rule("ConstantOfShape")
def constant_of_shape(ctx: LabelContext, node: Node) -> None:
    """All axes may shrink."""
    shape = ctx.shape(node.outputs[0])
    if shape is None or ctx.probed(node.inputs[0]) is None:
        ctx.set(node.outputs[0], ())
        return
    factors = tuple(free_axes(ctx, node.outputs[0], list(range(len(shape)))))
    ctx.sources[node.outputs[0]] = factors  # constant weights, as some exporters write them
    ctx.set(node.outputs[0], factors)


@update("ConstantOfShape")
def constant_shape(cuts: Cuts, node: Node) -> Change:
    """The shape follows the cut."""
    if cuts.known(node.inputs[0]) is None:
        return Change()
    return Change(operands={0: list(cuts.shape(node.outputs[0]))})


@rule("Tile")
def tile(ctx: LabelContext, node: Node) -> None:
    """All axes pass; repeated indices leave together."""
    repeats = ctx.probed(node.inputs[1])
    shape = ctx.shape(node.inputs[0]) or ()
    factors = ctx.factors(node.inputs[0])
    if repeats is None:
        ctx.opaque(node, "the repeats are computed")
        return
    dynamic = [
        a
        for a, r in enumerate(repeats.tolist())
        if r != 1 and ctx.shapes.is_dynamic(node.outputs[0], a)
    ]
    factors = ctx.release(factors, dynamic, "repeated a number of times that varies")
    kept: list[Factor] = []
    for factor in factors:
        times = [int(repeats[a]) for a in factor.axes]
        kept.append(Factor(factor.axes, np.tile(factor.labels, times), factor.level))
    grown = [a for a, r in enumerate(repeats.tolist()) if r != 1 and shape[a] == 1]
    ctx.set(node.outputs[0], [*kept, *free_axes(ctx, node.outputs[0], grown)])


@update("Tile")
def tile_repeats(cuts: Cuts, node: Node) -> Change:
    """Repeats of an axis of size one are its new size."""
    known = cuts.known(node.inputs[1])
    if known is None:
        return Change()
    shape, new = cuts.shape(node.inputs[0]), cuts.shape(node.outputs[0])
    wanted = [n if s == 1 else int(r) for s, n, r in zip(shape, new, known.tolist(), strict=True)]
    return Change(operands={1: wanted})
