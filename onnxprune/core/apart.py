"""Find operators that may be written once for every consumer, each with the rows that it wants.

A convolution or product computes every output channel from rows of its own. Where its consumers
want different channels, several with their own rows may take less time than one and copies.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np
from onnx.helper import tensor_dtype_to_np_dtype

from onnxprune.core.cuts import Cuts
from onnxprune.core.macs import mac_terms
from onnxprune.core.selects import roots_along, selects
from onnxprune.core.walk import captures

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from onnxprune.core.dependencies import Dependencies
    from onnxprune.core.graph import Node

_OPS = frozenset("Conv ConvTranspose Gemm MatMul".split())


@dataclass(frozen=True, slots=True)
class Producer:
    """An operator of which only Selects read the output.

    Attributes:
        node: the operator.
        axis: axis of the output's channels.
        selects: the Selects.
        rows: axis of the rows in each parameter that has some, by input.
    """

    node: Node
    axis: int
    selects: tuple[Node, ...]
    rows: dict[int, int]

    @property
    def ends(self) -> tuple[str, ...]:
        """Keys of the output and of what consumers read."""
        return (self.node.outputs[0], *(s.outputs[0] for s in self.selects))

    def wanted(self, cuts: Cuts) -> dict[bytes, int]:
        """Return how many channels are in each of the different sets that consumers want."""
        kept = [cuts.keep(s.outputs[0], self.axis) for s in self.selects]
        return {k.tobytes(): int(np.count_nonzero(k)) for k in kept}


def find_producers(deps: Dependencies) -> dict[str, Producer]:
    """Return the operators that may be written several times, by their output."""
    made_by = {n.outputs[0]: n for n in deps.graph.nodes if n.op in _OPS and not n.domain}
    readers: Counter[str] = Counter(deps.graph.outputs)
    for node in deps.graph.nodes:
        readers.update({*node.inputs, *captures(node)})
    forks: dict[str, list[Node]] = {}
    for node in selects(deps):
        forks.setdefault(node.inputs[0], []).append(node)
    found = {}
    for value in sorted(made_by.keys() & forks.keys()):
        node, own = made_by[value], forks[value]
        axis = int(own[0].attribute("axis"))
        if node.attribute("group", 1) != 1 or readers[value] != len(own):
            continue
        rows = _rows(deps, node, axis)
        if rows and all(readers[node.inputs[i]] == 1 for i in rows):  # none is shared
            found[value] = Producer(node, axis, tuple(own), rows)
    return found


def _rows(deps: Dependencies, node: Node, axis: int) -> dict[int, int]:
    """Return the axis of each parameter along which the channels of the output lie.

    Nothing where the weight is no initializer that only the model itself sets.
    """
    rank = len(deps.ctx.shape(node.outputs[0]) or ())
    by_columns = node.op == "MatMul" or (node.op == "Gemm" and not node.attribute("transB", 0))
    places = {1: 1 if by_columns or node.op == "ConvTranspose" else 0}
    parameters = deps.graph.parameters
    if node.input(2):
        places[2] = len(parameters[node.inputs[2]].shape) - 1 if node.inputs[2] in parameters else 0
    if axis != (rank - 1 if node.op == "MatMul" else 1):
        return {}
    wanted = roots_along(deps, node.outputs[0], axis)
    for position, along in places.items():
        parameter = parameters.get(node.inputs[position])
        here = roots_along(deps, node.inputs[position], along)
        if parameter is None or parameter.constant or wanted is None or here is None:
            return {}
        if not np.array_equal(here, wanted):
            return {}
    return places


@dataclass(frozen=True, slots=True)
class Repeated:
    """What comes on top because operators are written several times.

    Attributes:
        by_node: multiply-accumulates of one run, by the name of the node.
        params: elements of weights.
        bytes: bytes of them.
        weights: how often each weight is in the file, and its shape with the rows of all.
    """

    by_node: dict[str, int]
    params: int
    bytes: int
    weights: dict[str, tuple[int, tuple[int, ...]]]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one run."""
        return sum(self.by_node.values())


def repeated(deps: Dependencies, cut: NDArray[np.bool_], values: Collection[str]) -> Repeated:
    """Return what comes on top because operators are written several times.

    Args:
        deps: the analysis.
        cut: flag per label: what is not in the file.
        values: outputs of the operators that are written several times.
    """
    by_node: dict[str, int] = {}
    weights: dict[str, tuple[int, tuple[int, ...]]] = {}
    params = size = 0
    shapes = deps.settings[0]
    cuts = Cuts(deps.ctx, cut, shapes)
    producers = find_producers(deps) if values else {}
    for value in sorted(values):
        producer = producers[value]
        of = cuts.size(value, producer.axis)
        wanted = list(producer.wanted(cuts).values())
        more = sum(wanted) - of
        terms = mac_terms(producer.node, lambda k: len(shapes.shape(k) or ()))
        name = producer.node.name
        by_node[name] = by_node.get(name, 0) + sum(t.count(cuts) for t in terms) // of * more
        for position, axis in producer.rows.items():
            key = producer.node.inputs[position]
            shape = list(cuts.shape(key))
            count = prod(shape) // of * more
            params += count
            size += count * tensor_dtype_to_np_dtype(deps.graph.parameters[key].dtype).itemsize
            shape[axis] = sum(wanted)
            weights[key] = (len(wanted), tuple(shape))
    return Repeated(by_node, params, size, weights)
