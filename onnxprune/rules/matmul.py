"""Matrix products: the shared axis is summed, the others pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxprune.core.context import Operand
from onnxprune.core.registry import rule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnxprune.core.context import LabelContext
    from onnxprune.core.graph import Node
    from onnxprune.core.labels import Factors


def operand(ctx: LabelContext, key: str, axes: Sequence[int]) -> Operand:
    """See a value whose axes have the given common names."""
    shape = ctx.shape(key) or ()
    factors = ctx.shift(ctx.factors(key), dict(enumerate(axes)))
    return Operand(factors, dict(zip(axes, shape, strict=True)), key)


def gated_input(ctx: LabelContext, node: Node, positions: Sequence[int]) -> int:
    """Return the input to zero for a masked run: a computed value rather than a constant."""
    computed = [p for p in positions if node.inputs[p] not in ctx.constants]
    return (computed or list(positions))[0]


@rule("MatMul")
def matmul(ctx: LabelContext, node: Node) -> None:
    """Sum over the last axis of the first and the last but one of the second operand."""
    product(ctx, node, 0, 1)


def product(ctx: LabelContext, node: Node, first: int, second: int) -> None:
    """Carry labels through a (batched) matrix product of two inputs."""
    shapes = [ctx.shape(node.inputs[p]) for p in (first, second)]
    if shapes[0] is None or shapes[1] is None:
        ctx.opaque(node, "shape unknown")
        return
    ranks = [len(s) for s in shapes if s is not None]
    batch = max(ranks) - 2 if max(ranks) > 1 else 0
    row, column, inner = batch, batch + 1, batch + 2
    left = [*range(batch - ranks[0] + 2, batch), row, inner] if ranks[0] > 1 else [inner]
    right = [*range(batch - ranks[1] + 2, batch), inner, column] if ranks[1] > 1 else [inner]
    position = gated_input(ctx, node, (first, second))
    ctx.consumes(node, position, ((left if position == first else right).index(inner),))
    result = ctx.contract(
        [operand(ctx, node.inputs[first], left), operand(ctx, node.inputs[second], right)],
        (inner,),
    )
    out_axes = list(range(batch)) + [a for a, r in ((row, ranks[0]), (column, ranks[1])) if r > 1]
    ctx.set(node.outputs[0], ctx.shift(result, {a: i for i, a in enumerate(out_axes)}))


@rule("Gemm")
def gemm(ctx: LabelContext, node: Node) -> None:
    """A product of two matrices plus an addend that broadcasts."""
    row, column, inner = 0, 1, 2
    left = [inner, row] if node.attribute("transA", 0) else [row, inner]
    right = [column, inner] if node.attribute("transB", 0) else [inner, column]
    position = gated_input(ctx, node, (0, 1))
    ctx.consumes(node, position, ((left, right)[position].index(inner),))
    result = ctx.contract(
        [operand(ctx, node.inputs[0], left), operand(ctx, node.inputs[1], right)], (inner,)
    )
    addend = node.input(2)
    if addend:
        rank = len(ctx.shape(addend) or ())
        shape = ctx.shape(node.outputs[0]) or ()
        result = ctx.align(
            [
                Operand(result, dict(enumerate(shape)), node.inputs[0]),
                operand(ctx, addend, range(2 - rank, 2)),
            ]
        )
    ctx.set(node.outputs[0], result)
