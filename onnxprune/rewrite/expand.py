"""Put Selects between a value and those that read it, for the analysis and the masked original.

A Select is an Identity with a mark, so every runtime runs a model that has some. No written file
has any: what becomes of each is decided when the model is rewritten.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx
from onnx import helper

from onnxprune.core.graph import SELECT_AXIS

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Fork:
    """A value of the main graph whose readers may drop channels of their own.

    Attributes:
        value: its name.
        axis: axis of the channels.
        uses: places where it is read, as (number of the node, input); those that stand together get
            one Select.
    """

    value: str
    axis: int
    uses: tuple[tuple[tuple[int, int], ...], ...]


def insert_selects(proto: onnx.ModelProto, forks: Sequence[Fork]) -> onnx.ModelProto:
    """Return a copy of a model with a Select for every entry of the forks' uses.

    Each stands right behind the node that makes the value.
    """
    result = onnx.ModelProto()
    result.CopyFrom(proto)
    graph = result.graph
    taken = {n for node in graph.node for n in (*node.input, *node.output)}
    taken |= {t.name for t in graph.initializer} | {i.name for i in graph.input}
    made_at = {o: number for number, node in enumerate(proto.graph.node) for o in node.output if o}
    behind: dict[int, list[onnx.NodeProto]] = {}
    for fork in forks:
        for number, places in enumerate(fork.uses):
            name = f"{fork.value}@{number}"
            while name in taken:
                name += "@"
            taken.add(name)
            node = helper.make_node("Identity", [fork.value], [name], name=name)
            node.metadata_props.add(key=SELECT_AXIS, value=str(fork.axis))
            behind.setdefault(made_at.get(fork.value, -1), []).append(node)
            for index, position in places:
                graph.node[index].input[position] = name
    nodes = list(behind.get(-1, []))
    for number, node in enumerate(graph.node):
        nodes += [node, *behind.get(number, [])]
    copies = [helper.make_node("Identity", [], []) for _ in nodes]
    for copy, node in zip(copies, nodes, strict=True):
        copy.CopyFrom(node)
    graph.ClearField("node")
    graph.node.extend(copies)
    return result
