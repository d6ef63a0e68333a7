"""See a constant operand as the matrix of a least-squares problem, and write such a matrix back.

A weight may stand behind Transpose, Reshape, Identity and the like; the chain is replayed forwards
to read it and backwards to write it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onnxprune.core.dependencies import Dependencies
    from onnxprune.core.graph import Node, Parameter

    Matrix = np.ndarray

FLOATS = (1, 10, 11, 16)
"""Element types that can hold repaired weights: float, float16, double, bfloat16."""

_MOVES = ("Identity", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze")


@dataclass(frozen=True, slots=True)
class Chain:
    """A parameter and what happens to it before an operator reads it.

    Attributes:
        parameter: the parameter.
        moves: per node the shape before, the permutation (None for a reshape) and the shape after.
    """

    parameter: Parameter
    moves: tuple[tuple[tuple[int, ...], tuple[int, ...] | None, tuple[int, ...]], ...]

    def forward(self, array: np.ndarray) -> np.ndarray:
        """Return the parameter's content as the operator sees it."""
        for _, order, after in self.moves:
            array = array.transpose(order) if order is not None else array.reshape(after)
        return array

    def back(self, array: np.ndarray) -> np.ndarray:
        """Return the content that the operator sees as `array`."""
        for before, order, _ in reversed(self.moves):
            array = array.reshape(before) if order is None else array.transpose(np.argsort(order))
        return array


def find_chain(deps: Dependencies, key: str, uses: Mapping[str, int]) -> Chain | str:
    """Follow an operand back to its parameter.

    Args:
        deps: the analysis.
        key: the operand.
        uses: number of readers by key.

    Returns:
        The chain, or why the operand cannot be given new content.
    """
    made_by = {o: n for n in deps.graph.nodes for o in n.outputs if o}
    moves: list[tuple[tuple[int, ...], tuple[int, ...] | None, tuple[int, ...]]] = []
    while key not in deps.ctx.parameters:
        node = made_by.get(key)
        if node is None:
            return "computed from the input"
        if node.domain or node.op not in _MOVES:
            return f"behind {node.op}"
        if uses.get(key, 0) > 1:
            return "shared"
        before, after = deps.ctx.shape(node.inputs[0]), deps.ctx.shape(key)
        if before is None or after is None:
            return "of unknown shape"
        order = None
        if node.op == "Transpose":
            given = node.attribute("perm")
            order = tuple(given) if given is not None else tuple(range(len(before)))[::-1]
        moves.append((before, order, after))
        key = node.inputs[0]
    parameter = deps.ctx.parameters[key]
    if uses.get(key, 0) > 1:
        return "shared"
    if parameter.dtype not in FLOATS:
        return "quantised"
    if parameter.overridable or key not in deps.graph.parameters:
        return "an input of the graph" if parameter.overridable else "inside a body"
    return Chain(parameter, tuple(moves[::-1]))


@dataclass(frozen=True, slots=True)
class MatrixView:
    """A weight [.., in .., out ..] as matrices [groups, features, outputs].

    Features count the kernel's elements of the first input channel, then those of the second.

    Attributes:
        chain: where the weight is.
        op: operator that reads it.
        groups: convolution groups.
        flip: whether the matrix is stored transposed.
        scale: factor that the operator applies.
    """

    chain: Chain
    op: str
    groups: int = 1
    flip: bool = False
    scale: float = 1.0

    def load(self, array: np.ndarray) -> Matrix:
        """Return the matrices of a parameter's content, in double precision."""
        seen = self.chain.forward(array).astype(np.float64)
        g = self.groups
        match self.op:
            case "Conv":  # [out, in / g, kernel]
                rows = seen.reshape(g, seen.shape[0] // g, -1)
                return rows.transpose(0, 2, 1)
            case "ConvTranspose":  # [in, out / g, kernel], flipped: it runs over a spread input
                kernel = tuple(range(2, seen.ndim))
                taps = np.flip(seen, kernel).reshape(g, seen.shape[0] // g, seen.shape[1], -1)
                return taps.transpose(0, 1, 3, 2).reshape(g, -1, seen.shape[1])
            case "LSTM" | "GRU" | "RNN":  # [directions, gates * hidden, in]
                return seen.reshape(1, -1, seen.shape[2]).transpose(0, 2, 1)
            case _:
                matrix = seen.reshape(seen.shape[-2:])
                return ((matrix.T if self.flip else matrix) * self.scale)[None]

    def store(self, matrices: Matrix, like: np.ndarray) -> np.ndarray:
        """Return the content of the parameter that `load` would turn into `matrices`."""
        shape = self.chain.forward(like).shape
        g = self.groups
        match self.op:
            case "Conv":
                seen = matrices.transpose(0, 2, 1).reshape(shape)
            case "ConvTranspose":
                rows = matrices.reshape(g, shape[0] // g, -1, shape[1]).transpose(0, 1, 3, 2)
                seen = np.flip(rows.reshape(shape), tuple(range(2, len(shape))))
            case "LSTM" | "GRU" | "RNN":
                seen = matrices.transpose(0, 2, 1).reshape(shape)
            case _:
                matrix = matrices[0] / self.scale
                seen = (matrix.T if self.flip else matrix).reshape(shape)
        return np.ascontiguousarray(self.chain.back(seen)).astype(like.dtype)


def count_uses(deps: Dependencies) -> dict[str, int]:
    """Count the readers of every value, bodies included."""
    uses: dict[str, int] = {}
    for graph in deps.graph.walk():
        for key in graph.outputs:
            uses[key] = uses.get(key, 0) + 1
    for node in deps.graph.all_nodes():
        for key in node.inputs:
            uses[key] = uses.get(key, 0) + 1
    return uses


def numeric(node: Node, name: str, default: float) -> float:
    """Return a float attribute."""
    return float(node.attribute(name, default))
