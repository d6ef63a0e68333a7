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
    """Batch axes, rows and columns pass; the summed axis may shrink."""
    ctx.set(node.outputs[0], product(ctx, node, 0, 1))


def product(
    ctx: LabelContext,
    node: Node,
    first: int,
    second: int,
    *,
    gated: int | None = None,
    zero: int | None = None,
) -> Factors:
    """Carry labels through a (batched) matrix product of two inputs.

    Args:
        ctx: the labels.
        node: the node.
        first: position of the left operand.
        second: position of the right operand.
        gated: position of the operand that a masked run zeroes, by default the computed one.
        zero: position of the zero point of that operand, if it is quantised.
    """
    shapes = [ctx.shape(node.inputs[p]) or () for p in (first, second)]
    ranks = [len(s) for s in shapes]
    batch = max(ranks) - 2 if max(ranks) > 1 else 0
    row, column, inner = batch, batch + 1, batch + 2
    left = [*range(batch - ranks[0] + 2, batch), row, inner] if ranks[0] > 1 else [inner]
    right = [*range(batch - ranks[1] + 2, batch), inner, column] if ranks[1] > 1 else [inner]
    position = gated_input(ctx, node, (first, second)) if gated is None else gated
    axes = ((left if position == first else right).index(inner),)
    ctx.consumes(node, position, axes, zero=zero)
    result = ctx.contract(
        [operand(ctx, node.inputs[first], left), operand(ctx, node.inputs[second], right)],
        (inner,),
    )
    out_axes = list(range(batch)) + [a for a, r in ((row, ranks[0]), (column, ranks[1])) if r > 1]
    return ctx.shift(result, {a: i for i, a in enumerate(out_axes)})


@rule("MatMulInteger")
def matmul_integer(ctx: LabelContext, node: Node) -> None:
    """As MatMul; zero points per row or column leave with it."""
    quantised(ctx, node, (0, 1), points={0: (2,), 1: (3,)}, zeros={0: 2, 1: 3})


@rule("QLinearMatMul")
def qlinear_matmul(ctx: LabelContext, node: Node) -> None:
    """As MatMul; scales and zero points per row or column leave with it."""
    quantised(ctx, node, (0, 3), points={0: (1, 2), 3: (4, 5), -1: (6, 7)}, zeros={0: 2, 3: 5})


def quantised(
    ctx: LabelContext,
    node: Node,
    operands: tuple[int, int],
    *,
    points: dict[int, tuple[int, ...]],
    zeros: dict[int, int],
) -> None:
    """Carry labels through a product of quantised operands.

    Args:
        ctx: the labels.
        node: the node.
        operands: positions of the operands.
        points: positions of scales and zero points, by the operand they belong to (-1: result).
        zeros: position of the zero point of each operand.
    """
    shape = ctx.shape(node.outputs[0]) or ()
    scalar = [p for p in operands if max(ctx.shape(node.input(zeros[p])) or (1,)) == 1]
    several = any(max(ctx.shape(node.input(p)) or (1,)) > 1 for p in points.get(-1, ()))
    if not scalar or several:
        ctx.opaque(node, "several zero points of the result or of both operands")
        return
    gated = gated_input(ctx, node, scalar)
    result = product(ctx, node, *operands, gated=gated, zero=zeros[gated])
    whole = Operand(result, dict(enumerate(shape)), node.outputs[0])
    for owner, positions in points.items():
        for position in positions:
            key = node.input(position)
            size = max(ctx.shape(key) or (1,)) if key else 1
            if size == 1:
                continue
            vector = len(ctx.shape(key) or ()) == 1
            axis = len(shape) - (2 if owner == operands[0] else 1)
            axes = [axis] if vector else list(range(len(shape)))
            whole = Operand(ctx.align([whole, operand(ctx, key, axes)]), whole.sizes, whole.key)
    ctx.set(node.outputs[0], whole.factors)


@rule("Gemm")
def gemm(ctx: LabelContext, node: Node) -> None:
    """Rows and columns pass; the summed axis may shrink."""
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
