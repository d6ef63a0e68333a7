"""Concat and Split: labels are joined and cut as the data is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxprune.core.cuts import Change
from onnxprune.core.registry import rule, update

if TYPE_CHECKING:
    from onnxprune.core.context import LabelContext
    from onnxprune.core.cuts import Cuts
    from onnxprune.core.graph import Node


@rule("Concat")
def concat(ctx: LabelContext, node: Node) -> None:
    """All axes pass; parts of the joined axis by themselves, the others together."""
    shapes = [ctx.shape(k) for k in node.inputs]
    out = ctx.shape(node.outputs[0])
    if out is None or any(s is None for s in shapes):
        ctx.opaque(node, "shape unknown")
        return
    axis = int(node.attribute("axis", 1)) % len(out)
    parts = [(ctx.factors(k), s[axis]) for k, s in zip(node.inputs, shapes, strict=True) if s]
    ctx.set(node.outputs[0], ctx.concatenate(parts, axis, out, node.outputs[0]))


@rule("Split")
def split(ctx: LabelContext, node: Node) -> None:
    """All axes pass; each part of the split axis by itself."""
    shape = ctx.shape(node.inputs[0]) or ()
    axis = int(node.attribute("axis", 0)) % max(len(shape), 1)
    factors = ctx.factors(node.inputs[0])
    sizes = [ctx.shape(k) if k else None for k in node.outputs]
    if any(s is None for s in sizes):
        ctx.opaque(node, "the sizes are computed")
        return
    start = 0
    for key, size in zip(node.outputs, sizes, strict=True):
        stop = start + (size or shape)[axis]
        part = factors
        if any(axis in f.axes for f in factors):
            part = ctx.take(factors, axis, np.arange(start, stop))
        ctx.set(key, part)
        start = stop


@update("Split")
def split_sizes(cuts: Cuts, node: Node) -> Change:
    """Each part gets its new size, whether written down or implied by equality."""
    axis = int(node.attribute("axis", 0)) % len(cuts.shape(node.inputs[0]))
    new = [cuts.size(k, axis) for k in node.outputs]
    if new == [cuts.old_shape(k)[axis] for k in node.outputs]:
        return Change()
    if node.opset < 13:
        return Change(attributes={"split": new})
    return Change(attributes={"num_outputs": None}, operands={1: new})
