"""Find the places where a consumer may lose channels of its own, and where one copy serves many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.core.selects import selects
from onnxprune.rewrite.selects import operands

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from onnxprune.core.dependencies import Dependencies
    from onnxprune.core.graph import Node
    from onnxprune.core.labels import LabelArray

    Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Edge:
    """A Select with the label sets on both of its sides, index by index.

    Attributes:
        node: the Select.
        axis: axis of the channels.
        above: sets of the value.
        below: sets of what the consumer reads.
        positions: elements per channel.
    """

    node: Node
    axis: int
    above: LabelArray
    below: LabelArray
    positions: int

    @property
    def value(self) -> str:
        """Key of the value."""
        return self.node.inputs[0]

    @property
    def ends(self) -> tuple[str, str]:
        """Keys of the value and of what the consumer reads."""
        return self.node.inputs[0], self.node.outputs[0]

    def missing(self, cut: Flags) -> NDArray[np.bool_]:
        """Return which indices the value keeps and the consumer does not."""
        return np.asarray(~cut[self.above] & cut[self.below])

    def copied(self, cut: Flags) -> bool:
        """Tell whether the consumer needs a copy."""
        return bool(self.missing(cut).any())


@dataclass(frozen=True, slots=True, eq=False)
class Joint:
    """A concatenation that alone reads what several Selects give it.

    Attributes:
        output: key of its output.
        axis: axis of the channels.
        edges: the Selects.
    """

    output: str
    axis: int
    edges: tuple[Edge, ...]


def find_edges(deps: Dependencies) -> list[Edge]:
    """Return the Selects at which a consumer may lose channels of its own."""
    found = []
    for node in selects(deps):
        axis = int(node.attribute("axis"))
        sides = []
        for key in (node.inputs[0], node.outputs[0]):
            factors = [f for f in deps.ctx.factors_of.get(key, ()) if f.axes == (axis,)]
            sides += [deps.roots[f.labels] for f in factors if not f.level]
        shape = deps.ctx.shape(node.inputs[0]) or ()
        if len(sides) == 2 and not np.array_equal(sides[0], sides[1]):
            positions = int(np.prod(shape, dtype=np.int64)) // max(shape[axis], 1)
            found.append(Edge(node, axis, sides[0], sides[1], positions))
    return found


def find_joints(deps: Dependencies, edges: Sequence[Edge]) -> list[Joint]:
    """Return the concatenations behind which one copy could serve several operands."""
    by_output = {edge.node.outputs[0]: edge for edge in edges}
    found = []
    for node in deps.graph.nodes:
        read = [by_output.get(s.outputs[0]) for s in operands(deps, node).values()]
        own = tuple(e for e in read if e is not None)
        if len(own) > 1:
            found.append(Joint(node.outputs[0], own[0].axis, own))
    return found
