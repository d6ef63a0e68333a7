"""Blocks that look up rows of tables."""

from __future__ import annotations

from onnx import TensorProto

from onnxprune.testing.blocks.builder import Builder, Tensor
from onnxprune.testing.blocks.layers import add, linear, nonlinear, project
from onnxprune.testing.blocks.registry import block
from onnxprune.testing.blocks.shaping import size_of
from onnxprune.testing.blocks.versioned import unsqueeze
from onnxprune.testing.blocks.weights import plain, weight

VOCABULARY = 12  # every table of tokens has this many rows, and feeds stay below


def token_input(b: Builder) -> str:
    """Declare the graph input of token numbers, `[n l]`."""
    return b.graph_input("ids", TensorProto.INT64, [b.setting.batch, b.setting.length])


def look_up(b: Builder, width: int) -> tuple[Tensor, str]:
    """Gather a row per token; also return the name of the table."""
    table = weight(b, (VOCABULARY, width), fan_in=1)
    shape = (b.setting.batch, b.setting.length, width)
    return Tensor(b.op("Gather", table, token_input(b)), shape, "seq"), table


def add_positions(b: Builder, x: Tensor) -> Tensor:
    """Add a learned row per position, cut to the length of the sequence."""
    table = plain(b, b.rng.normal(0.0, 0.5, (x.most_positions, x.channels)))
    if b.opset >= 10:
        end = unsqueeze(b, size_of(b, x, 1), [0])
        rows = b.op("Slice", table, b.ints([0]), end, b.ints([0]))
        return x.named(b.op("Add", x, rows))
    return x.named(b.op("Add", x, b.op("Gather", table, b.ints([3]), axis=0)))


@block("seq")
def embedding(b: Builder, x: Tensor) -> Tensor:
    """Add rows of a table, and of a table of positions, to a sequence."""
    rows, _ = look_up(b, x.channels)
    rows = add_positions(b, rows) if b.chance(0.5) else rows
    return add(b, rows, x) if rows.shape == x.shape else rows


@block("seq")
def embedding_tied(b: Builder, x: Tensor) -> Tensor:
    """Use one table to look up tokens and, transposed, to score them."""
    width = x.channels if b.chance(0.5) else b.width()
    rows, table = look_up(b, width)
    hidden = add_positions(b, rows)
    if rows.shape[:2] == x.shape[:2]:
        hidden = add(b, hidden, project(b, x, width))
    inner = nonlinear(b, linear(b, hidden, b.width()))
    hidden = add(b, hidden, linear(b, inner, width))
    scores = b.op("MatMul", hidden, b.op("Transpose", table, perm=[1, 0]))
    scaled = b.op("Mul", scores, b.floats(width**-0.5))
    return hidden.resized(scaled, VOCABULARY)


@block("vec", "plane", "line")
def class_embedding(b: Builder, x: Tensor) -> Tensor:
    """Shift the channels by a row of a table that one constant index selects."""
    table = weight(b, (VOCABULARY, x.channels), fan_in=1)
    row = b.op("Gather", table, b.ints(b.between(0, VOCABULARY - 1)), axis=0)
    axes = [*range(1, len(x.shape) - 1)]
    return x.named(b.op("Add", x, unsqueeze(b, row, axes) if axes else row), rms=x.rms + 1)
