"""Einsum in general form, except diagonals."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

from onnxprune.core.registry import rule
from onnxprune.rules.matmul import gated_input, operand

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnxprune.core.context import LabelContext
    from onnxprune.core.graph import Node


def parse(equation: str, ranks: Sequence[int]) -> tuple[list[str], str] | None:
    """Return one string of letters per operand and one for the result; None for diagonals."""
    equation = equation.replace(" ", "")
    left, arrow, result = equation.partition("->")
    terms = left.split(",")
    spare = [c for c in string.ascii_letters if c not in equation]
    widest = max(
        (r - len(t) + 3 for t, r in zip(terms, ranks, strict=True) if "..." in t), default=0
    )
    dots = "".join(spare[:widest])
    expanded = []
    for term, rank in zip(terms, ranks, strict=True):
        width = rank - len(term) + 3
        expanded.append(term.replace("...", dots[widest - width :] if width else ""))
    if not arrow:
        letters = sorted(c for c in set(left) if c.isalpha() and left.count(c) == 1)
        result = ("..." if dots else "") + "".join(letters)
    result = result.replace("...", dots)
    if any(len(set(t)) != len(t) for t in (*expanded, result)):
        return None
    return expanded, result


@rule("Einsum")
def einsum(ctx: LabelContext, node: Node) -> None:
    """All axes pass, except diagonals; shared letters leave together, summed ones may shrink."""
    shapes = [ctx.shape(k) for k in node.inputs]
    parsed = parse(str(node.attribute("equation")), [len(s or ()) for s in shapes])
    if parsed is None or any(s is None for s in shapes):
        ctx.opaque(node, "an equation with a diagonal, or unknown shapes")
        return
    terms, result = parsed
    code = {c: i for i, c in enumerate(dict.fromkeys("".join(terms)))}
    summed = [c for c in code if c not in result]
    for letter in summed:
        holders = [p for p, t in enumerate(terms) if letter in t]
        position = gated_input(ctx, node, holders)
        axis = terms[position].index(letter)
        ctx.consumes(node, position, (axis,))
        if len(holders) == 1:  # nothing is multiplied: a plain sum, as ReduceSum
            ctx.approximate(ctx.factors(node.inputs[position]), (axis,), "a sum over this axis")
    factors = ctx.contract(
        [operand(ctx, k, [code[c] for c in t]) for k, t in zip(node.inputs, terms, strict=True)],
        [code[c] for c in summed],
    )
    ctx.set(node.outputs[0], ctx.shift(factors, {code[c]: i for i, c in enumerate(result)}))
