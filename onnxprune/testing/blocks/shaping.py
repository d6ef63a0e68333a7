"""Reshape in the forms that exporters write: fixed numbers, 0 and -1, or computed from Shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.testing.blocks.builder import Builder, Dim, Layout, Tensor
from onnxprune.testing.blocks.versioned import unsqueeze

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class At:
    """The size of one axis of the value being reshaped, or of another value."""

    axis: int
    of: Tensor | None = None


@dataclass(frozen=True)
class Size:
    """A product of sizes and numbers, divided by a number."""

    factors: tuple[int | At, ...]
    over: int = 1


Target = int | At | Size


def reshape(b: Builder, x: Tensor, target: Sequence[Target], layout: Layout = "raw") -> Tensor:
    """Reshape to the target sizes, written in a random one of the forms that can express them."""
    sizes = [_as_size(entry) for entry in target]
    shape = tuple(_evaluate(size, x) for size in sizes)
    symbolic = [i for i, dim in enumerate(shape) if isinstance(dim, str)]
    kept = [i for i, size in enumerate(sizes) if size == Size((At(i),))]
    forms = ["computed"] if not b.in_function else []
    if len(symbolic) <= 1:
        forms += ["minus one", "minus one"]
    if len([i for i in symbolic if i not in kept]) <= 1:
        forms.append("zero")
    form = b.pick(forms)
    if form == "computed":
        operand = _computed(b, x, sizes, shape)
    else:
        operand = b.ints(_numbers(b, shape, kept if form == "zero" else []))
    return Tensor(b.op("Reshape", x, operand), shape, layout, x.rms)


def shape_vector(b: Builder, x: Tensor, sizes: Sequence[Target]) -> str:
    """Append nodes that compute an int64 vector of sizes from Shape."""
    entries = [_as_size(entry) for entry in sizes]
    parts = [_vector(b, x, entry, _evaluate(entry, x)) for entry in entries]
    return b.op("Concat", *parts, axis=0) if len(parts) > 1 else parts[0]


def size_of(b: Builder, x: Tensor, axis: int) -> str:
    """Append nodes that compute the size of one axis as an int64 scalar."""
    if b.opset >= 15 and b.chance(0.3):
        taken = b.op("Shape", x, start=axis, end=axis + 1)
        return b.op("Gather", taken, b.ints(0), axis=0)
    return b.op("Gather", b.op("Shape", x), b.ints(axis), axis=0)


def _as_size(entry: Target) -> Size:
    return entry if isinstance(entry, Size) else Size((entry,))


def _evaluate(size: Size, x: Tensor) -> Dim:
    """Return the number, or the symbolic factors joined by stars."""
    number, names = 1, []
    for factor in size.factors:
        dim = factor if isinstance(factor, int) else (factor.of or x).shape[factor.axis]
        if isinstance(dim, int):
            number *= dim
        else:
            names.append(dim)
    if not names:
        assert number % size.over == 0
        return number // size.over
    return "*".join([*names, str(number)] if number > 1 else names)


def _numbers(b: Builder, shape: tuple[Dim, ...], zeros: Sequence[int]) -> list[int]:
    """Spell a constant target; a free choice of -1 where no symbolic size needs it."""
    numbers = [dim if isinstance(dim, int) else -1 for dim in shape]
    for i in zeros:
        if isinstance(shape[i], str) or b.chance(0.6):
            numbers[i] = 0
    positive = [i for i, number in enumerate(numbers) if number > 0]
    if -1 not in numbers and positive and b.chance(0.4):
        numbers[b.pick(positive)] = -1
    return numbers


def _computed(b: Builder, x: Tensor, sizes: Sequence[Size], shape: tuple[Dim, ...]) -> str:
    """Write the target as Shape, Gather, Mul, Concat; one entry may still be -1."""
    symbolic = [i for i, dim in enumerate(shape) if isinstance(dim, str)]
    wild = b.between(0, len(sizes) - 1) if len(sizes) > 1 and b.chance(0.4) else None
    if wild is not None and symbolic == [wild] and b.chance(0.5):
        wild = None
    parts = [
        b.ints([-1]) if i == wild else _vector(b, x, size, dim)
        for i, (size, dim) in enumerate(zip(sizes, shape, strict=True))
    ]
    return b.op("Concat", *parts, axis=0) if len(parts) > 1 else parts[0]


def _vector(b: Builder, x: Tensor, size: Size, dim: Dim) -> str:
    """Compute one size as a vector of one number."""
    if isinstance(dim, int) and (all(isinstance(f, int) for f in size.factors) or b.chance(0.4)):
        return b.ints([dim])
    if len(size.factors) == 1 and size.over == 1 and b.chance(0.3):
        (at,) = size.factors
        assert isinstance(at, At)
        return b.op("Gather", b.op("Shape", at.of or x), b.ints([at.axis]), axis=0)
    scalar = _scalar(b, x, size.factors)
    if size.over > 1:
        scalar = b.op("Div", scalar, b.constant(np.asarray(size.over, dtype=np.int64)))
    return unsqueeze(b, scalar, [0])


def _scalar(b: Builder, x: Tensor, factors: Sequence[int | At]) -> str:
    """Multiply factors up as int64 scalars."""
    product = ""
    for factor in factors:
        if isinstance(factor, int):
            value = b.ints(factor)
        else:
            value = size_of(b, factor.of or x, factor.axis)
        product = b.op("Mul", product, value) if product else value
    return product
