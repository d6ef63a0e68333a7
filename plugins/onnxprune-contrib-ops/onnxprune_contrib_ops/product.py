"""Matrix products: transposed, with activations, quantised as a whole or block by block."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxprune.rules.api import (
    Change,
    Operand,
    Term,
    axes_from,
    gated_input,
    gemm,
    gemm_macs,
    infer_like,
    macs,
    operand,
    operand_to_right,
    product,
    product_macs,
    rule,
    shapes,
    update,
)
from onnxprune_contrib_ops.domain import MICROSOFT, element_type, known

if TYPE_CHECKING:
    from onnxprune.rules.api import Cuts, Factors, Inferred, LabelContext, Node, Rank, Shapes

FUSED = ("FusedMatMul", "TransposeMatMul")

rule("FusedGemm", domain=MICROSOFT)(gemm)
macs("FusedGemm", domain=MICROSOFT)(gemm_macs)
macs("DynamicQuantizeMatMul", "GemmFastGelu", "MatMulIntegerToFloat", "MatMulNBits",
     domain=MICROSOFT)(product_macs)  # fmt: skip


@shapes("FusedGemm", domain=MICROSOFT)
def fused_gemm_shape(found: Shapes, node: Node) -> Inferred:
    """As Gemm."""
    return infer_like(found, node, "Gemm")


# ---- FusedMatMul -----------------------------------------------------------------------------


def axis_names(node: Node, side: str, rank: int, batch: int) -> list[int] | None:
    """Name the axes of an operand: batch axes from 0, then row, column, summed.

    Args:
        node: the node.
        side: `A` or `B`.
        rank: number of axes of the operand.
        batch: number of batch axes of the result.

    Returns:
        A name for each axis; None where the flags do not apply to so few axes.
    """
    row, column, inner = batch, batch + 1, batch + 2
    flipped = bool(node.attribute(f"trans{side}", 0))
    moved = bool(node.attribute(f"transBatch{side}", 0))
    if rank < 2:
        return None if flipped or moved else [inner]
    last = [row, inner] if side == "A" else [inner, column]
    if flipped:
        last.reverse()
    batches = list(range(batch - rank + 2, batch))
    return [last[0], *batches, last[1]] if moved else [*batches, *last]


@rule(*FUSED, domain=MICROSOFT)
def fused_matmul(ctx: LabelContext, node: Node) -> None:
    """As MatMul, of transposed operands; the summed axis may shrink."""
    ranks = [len(ctx.shape(k) or ()) for k in node.inputs]
    batch = max(*ranks, 2) - 2
    sides = [axis_names(node, s, r, batch) for s, r in zip("AB", ranks, strict=True)]
    if sides[0] is None or sides[1] is None:
        ctx.opaque(node, "transposes a vector")
        return
    inner = batch + 2
    gated = gated_input(ctx, node, (0, 1))
    names = (sides[0], sides[1])
    ctx.consumes(node, gated, (names[gated].index(inner),))
    operands = [operand(ctx, k, n) for k, n in zip(node.inputs, names, strict=True)]
    result = ctx.contract(operands, (inner,))
    out = [a for a in range(batch + 2) if a < batch or a in names[0] or a in names[1]]
    ctx.set(node.outputs[0], ctx.shift(result, {a: i for i, a in enumerate(out)}))


@shapes(*FUSED, domain=MICROSOFT)
def fused_matmul_shape(found: Shapes, node: Node) -> Inferred:
    """As MatMul of the operands after they were transposed."""
    both = [known(found, k) for k in node.inputs]
    batch = max(*map(len, both), 2) - 2
    sizes: dict[int, int] = {}
    for side, shape in zip("AB", both, strict=True):
        names = axis_names(node, side, len(shape), batch)
        if names is None:
            return []
        for name, size in zip(names, shape, strict=True):
            sizes[name] = max(size, sizes.get(name, 1))
    out = [sizes.get(a, 1) for a in range(batch)]
    out += [sizes[a] for a in (batch, batch + 1) if a in sizes]
    return [(element_type(found, node.inputs[0]), tuple(out))]


@macs(*FUSED, domain=MICROSOFT)
def fused_matmul_macs(node: Node, rank: Rank) -> list[Term]:
    """Count output elements times the summed size."""
    ranks = [rank(k) or 0 for k in node.inputs]
    batch = max(*ranks, 2) - 2
    names = axis_names(node, "A", ranks[0], batch)
    if names is None:
        return []
    summed = (node.inputs[0], names.index(batch + 2))
    return [Term(node, (*axes_from(rank, node.outputs[0]), summed))]


# ---- with what follows fused to them -----------------------------------------------------------


def with_bias(ctx: LabelContext, node: Node, result: Factors, position: int) -> None:
    """Let a result meet a bias, and set the output."""
    key = node.input(position)
    shape = ctx.shape(node.outputs[0]) or ()
    if key:
        whole = Operand(result, dict(enumerate(shape)), node.outputs[0])
        result = ctx.align([whole, operand_to_right(ctx, key, len(shape))])
    ctx.set(node.outputs[0], result)


@rule("GemmFastGelu", domain=MICROSOFT)
def gemm_fast_gelu(ctx: LabelContext, node: Node) -> None:
    """As MatMul; the bias leaves with its column."""
    with_bias(ctx, node, product(ctx, node, 0, 1), 2)


@shapes("GemmFastGelu", domain=MICROSOFT)
def product_shape(found: Shapes, node: Node) -> Inferred:
    """As MatMul."""
    a, b = known(found, node.inputs[0]), known(found, node.inputs[1])
    return [(element_type(found, node.inputs[0]), (*a[:-1], b[-1]))]


# ---- quantised as a whole ------------------------------------------------------------------------


def _single(ctx: LabelContext, key: str) -> bool:
    return not key or int(np.prod(ctx.shape(key) or ())) == 1


def scaled_columns(
    ctx: LabelContext, node: Node, result: Factors, positions: tuple[int, ...]
) -> Factors:
    """Let a result meet scales and zero points, one for all or one per column."""
    shape = ctx.shape(node.outputs[0]) or ()
    parts = [Operand(result, dict(enumerate(shape)), node.outputs[0])]
    several = [k for k in (node.input(p) for p in positions) if not _single(ctx, k)]
    return ctx.align(parts + [operand_to_right(ctx, k, len(shape)) for k in several])


@rule("MatMulIntegerToFloat", domain=MICROSOFT)
def integer_to_float(ctx: LabelContext, node: Node) -> None:
    """As MatMul; scales, zero points and bias leave with their column."""
    if not all(_single(ctx, node.input(p)) for p in (2, 4)):
        ctx.opaque(node, "several scales of the left operand")
        return
    result = product(ctx, node, 0, 1, gated=0, zero=4)
    with_bias(ctx, node, scaled_columns(ctx, node, result, (3, 5)), 6)


@shapes("MatMulIntegerToFloat", domain=MICROSOFT)
def integer_to_float_shape(found: Shapes, node: Node) -> Inferred:
    """As MatMul, of the type of the scales."""
    [(_, shape)] = [p for p in product_shape(found, node) if p]
    return [(element_type(found, node.inputs[2]), shape)]


@rule("DynamicQuantizeMatMul", domain=MICROSOFT)
def dynamic_matmul(ctx: LabelContext, node: Node) -> None:
    """As MatMul; the measured range holds zero, so what is silenced does not change it."""
    shape = ctx.shape(node.inputs[0]) or ()
    column, inner = len(shape) - 1, len(shape)
    reason = "the range is measured over this axis"
    left = ctx.release(ctx.factors(node.inputs[0]), range(column), reason)
    ctx.consumes(node, 0, (column,))
    summed = Operand(ctx.shift(left, {column: inner}), {inner: shape[-1]}, node.inputs[0])
    result = ctx.contract([summed, operand(ctx, node.inputs[1], (inner, column))], (inner,))
    with_bias(ctx, node, scaled_columns(ctx, node, result, (2, 3)), 4)


shapes("DynamicQuantizeMatMul", domain=MICROSOFT)(product_shape)


@rule("QGemm", domain=MICROSOFT)
def quantised_gemm(ctx: LabelContext, node: Node) -> None:
    """As Gemm; scales, zero points and bias leave with their column."""
    if not all(_single(ctx, node.input(p)) for p in (1, 2, 7, 8)):
        ctx.opaque(node, "several scales of the left operand or of the result")
        return
    row, column, inner = 0, 1, 2
    left = [inner, row] if node.attribute("transA", 0) else [row, inner]
    right = [column, inner] if node.attribute("transB", 0) else [inner, column]
    ctx.consumes(node, 0, (left.index(inner),), zero=2)
    operands = [operand(ctx, node.inputs[0], left), operand(ctx, node.inputs[3], right)]
    result = ctx.contract(operands, (inner,))
    with_bias(ctx, node, scaled_columns(ctx, node, result, (4, 5)), 6)


@shapes("QGemm", domain=MICROSOFT)
def quantised_gemm_shape(found: Shapes, node: Node) -> Inferred:
    """As Gemm; quantised where the result has a scale."""
    a, b = known(found, node.inputs[0]), known(found, node.inputs[3])
    rows = a[1] if node.attribute("transA", 0) else a[0]
    columns = b[0] if node.attribute("transB", 0) else b[1]
    kind = element_type(found, node.input(8) or node.inputs[1])
    return [(kind, (rows, columns))]


@macs("QGemm", domain=MICROSOFT)
def quantised_gemm_macs(node: Node, rank: Rank) -> list[Term]:
    """Count output elements times the summed size."""
    inner = (node.inputs[0], 0 if node.attribute("transA", 0) else 1)
    return [Term(node, (*axes_from(rank, node.outputs[0]), inner))]


# ---- quantised block by block --------------------------------------------------------------------


@rule("MatMulNBits", domain=MICROSOFT)
def matmul_blocks(ctx: LabelContext, node: Node) -> None:
    """Columns pass; of the summed axis, whole blocks may leave."""
    x_key, w_key = node.inputs[:2]
    columns, depth, size = (int(node.attribute(n)) for n in ("N", "K", "block_size"))
    blocks = -(-depth // size)
    if node.attribute("weight_prepacked", 0) or node.input(4):
        ctx.opaque(node, "weights that were rearranged")
        return
    shape = ctx.shape(x_key) or ()
    column, summed = len(shape) - 1, len(shape)
    whole = depth % size == 0 and _zeros_by_block(ctx, node, columns, blocks)
    x = ctx.factors(x_key)
    if whole:
        view = (*shape[:-1], blocks, size)
        x = ctx.release(ctx.reshape(x, shape, view), (column + 1,), "quantised as one block")
        x = ctx.shift(x, {a: a for a in range(column)} | {column: summed})
    else:
        packed = "zero points of several blocks share a byte"
        x = ctx.release(x, (column,), packed if depth % size == 0 else "the last block is shorter")
    ctx.consumes(node, 0, (column,))
    sizes = {**dict(enumerate(shape[:-1])), summed: blocks if whole else 1}
    parts = [Operand(x, sizes, x_key)]
    for key in (w_key, node.inputs[2], node.input(3)):
        if key:
            by_block = _by_block(ctx, key, columns, blocks, whole=whole)
            names = {column: columns, summed: blocks if whole else 1}
            parts.append(Operand(ctx.shift(by_block, {0: column, 1: summed}), names, key))
    with_bias(ctx, node, ctx.contract(parts, (summed,)), 5)


def _zeros_by_block(ctx: LabelContext, node: Node, columns: int, blocks: int) -> bool:
    """Tell whether every block has zero points of its own bytes."""
    key = node.input(3)
    return not key or int(np.prod(ctx.shape(key) or ())) == columns * blocks


def _by_block(ctx: LabelContext, key: str, columns: int, blocks: int, *, whole: bool) -> Factors:
    """View a weight or its scales as [columns blocks]."""
    shape, factors = ctx.shape(key) or (), ctx.factors(key)
    reason = "quantised as one block"
    if len(shape) == 1:
        view = (columns, shape[0] // columns)
        factors, shape = ctx.reshape(factors, shape, view), view
    kept = ctx.release(factors, range(2 if whole else 1, len(shape)), reason)
    assert not whole or shape[1] == blocks
    return kept


@shapes("MatMulNBits", domain=MICROSOFT)
def matmul_blocks_shape(found: Shapes, node: Node) -> Inferred:
    """As MatMul, whose columns an attribute counts."""
    x = known(found, node.inputs[0])
    return [(element_type(found, node.inputs[0]), (*x[:-1], int(node.attribute("N"))))]


@update("MatMulNBits", domain=MICROSOFT)
def matmul_blocks_sizes(cuts: Cuts, node: Node) -> Change:
    """Write how many columns there are, and how much each sums."""
    depth, columns = (cuts.shape(k)[-1] for k in (node.inputs[0], node.outputs[0]))
    return Change(attributes={"K": depth, "N": columns})
