"""Pad and CenterCropPad: adding indices along axes."""

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


def amounts(ctx: LabelContext, node: Node) -> dict[int, tuple[int, int]] | None:
    """Return the padding of each padded axis, None when it is computed."""
    rank = len(ctx.shape(node.inputs[0]) or ())
    known = ctx.known(node.inputs[1]) if node.input(1) else node.attribute("pads")
    axes: list[int] = list(range(rank))
    if node.input(3):
        given = ctx.known(node.inputs[3])
        if given is None:
            return None
        axes = [int(a) % rank for a in given]
    if known is None:
        return None
    values = [int(v) for v in known]
    pairs = zip(axes, values[: len(axes)], values[len(axes) :], strict=True)
    return {a: (front, back) for a, front, back in pairs if front or back}


@rule("Pad")
def pad(ctx: LabelContext, node: Node) -> None:
    """All axes pass under constant padding, whose indices stay; padded axes stay in other modes."""
    padded = amounts(ctx, node)
    if padded is None:
        ctx.opaque(node, "the padding is computed")
        return
    factors = ctx.factors(node.inputs[0])
    cropped = any(v < 0 for pair in padded.values() for v in pair)
    if cropped or node.attribute("mode", "constant") != "constant":
        factors, padded = ctx.release(factors, padded, "padded along this axis"), {}
    kept = []
    for factor in factors:
        amount = [padded.get(a, (0, 0)) for a in factor.axes]
        kept.append(Factor(factor.axes, np.pad(factor.labels, amount), factor.level))
    ctx.set(node.outputs[0], kept)


def target_axes(shape: tuple[int, ...], node: Node) -> list[int]:
    """Return the axes that CenterCropPad's operand speaks of."""
    return [int(a) % len(shape) for a in node.attribute("axes", range(len(shape)))]


@rule("CenterCropPad")
def center_crop_pad(ctx: LabelContext, node: Node) -> None:
    """Axes that keep their size pass."""
    before, after = ctx.shape(node.inputs[0]) or (), ctx.shape(node.outputs[0]) or ()
    changed = [
        a
        for a in target_axes(before, node)
        if before[a] != after[a] or ctx.shapes.is_dynamic(node.inputs[0], a)
    ]
    factors = ctx.factors(node.inputs[0])
    ctx.set(node.outputs[0], ctx.release(factors, changed, "cropped or padded along this axis"))


@update("CenterCropPad")
def target_shape(cuts: Cuts, node: Node) -> Change:
    """Axes that only keep their size get their new size."""
    known, new = cuts.known(node.inputs[1]), cuts.shape(node.outputs[0])
    if known is None:
        return Change()
    return Change(operands={1: [new[a] for a in target_axes(new, node)]})
