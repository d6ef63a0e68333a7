"""Turn every Select of an expanded graph into what a file may hold, or into nothing.

A Select whose input keeps just what its output wants vanishes; a contiguous run becomes a Slice,
anything else a Gather. Selects that want the same of the same value share one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import onnx

from onnxprune.core.selects import selects

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from numpy.typing import NDArray

    from onnxprune.core.cuts import Cuts
    from onnxprune.core.dependencies import Dependencies
    from onnxprune.core.graph import Node
    from onnxprune.rewrite.surgeon import Surgeon

_SLICE_INPUTS = 10
"""Opset from which Slice reads its bounds from inputs."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A node that was added because a consumer wants some channels of a value.

    Attributes:
        value: the value.
        op: `Slice` or `Gather`.
        channels: channels copied.
        of: channels of the value.
        bytes: bytes written in one run at the probe sizes.
        consumers: number of Selects that it serves.
    """

    value: str
    op: str
    channels: int
    of: int
    bytes: int
    consumers: int


def element_bytes(deps: Dependencies) -> Callable[[str], int]:
    """Return what gives the bytes of an element of a value."""

    def of(key: str) -> int:
        kind = deps.settings[0].dtypes.get(key, onnx.TensorProto.FLOAT)
        return int(onnx.helper.tensor_dtype_to_np_dtype(kind).itemsize)

    return of


def wanted_indices(cuts: Cuts, value: str, output: str, axis: int) -> NDArray[np.int64] | None:
    """Return which of the channels that a value keeps a Select takes; None for all of them."""
    above, below = cuts.keep(value, axis), cuts.keep(output, axis)
    if np.array_equal(above, below):
        return None
    return (np.cumsum(above) - 1)[below]


def replace_selects(
    surgeon: Surgeon,
    deps: Dependencies,
    cuts: Cuts,
    *,
    joined: Collection[str] = (),
    apart: Collection[str] = (),
) -> tuple[Copy, ...]:
    """Replace every Select of a graph; returns the copies that were needed.

    Args:
        surgeon: the graph to edit.
        deps: the analysis.
        cuts: what remains of every value.
        joined: outputs of concatenations behind which one copy serves all operands.
        apart: values whose Selects were replaced already.
    """
    width = element_bytes(deps)
    made: dict[tuple[str, bytes], tuple[Node, Copy]] = {}
    behind: list[Copy] = []
    served: set[str] = set()
    for concat in deps.graph.nodes:
        if concat.op == "Concat" and concat.outputs[0] in joined:
            own = operands(deps, concat)
            behind.append(_join(surgeon, deps, cuts, concat, own))
            served |= {select.outputs[0] for select in own.values()}
    for node in selects(deps):
        if node.outputs[0] in served or node.inputs[0] in apart:
            continue
        value, output, axis = node.inputs[0], node.outputs[0], int(node.attribute("axis"))
        indices = wanted_indices(cuts, value, output, axis)
        if indices is None:
            surgeon.bypass(node)
            continue
        key = value, indices.tobytes()
        if key in made:
            first, copy = made[key]
            surgeon.bypass(node, first)
            made[key] = first, replace(copy, consumers=copy.consumers + 1)
            continue
        run = len(indices) > 0 and bool((np.diff(indices) == 1).all())
        if run:
            old = deps.graph.opsets.get("", 1) < _SLICE_INPUTS
            surgeon.replace_by_slice(node, axis, int(indices[0]), int(indices[-1]) + 1, old=old)
        else:
            surgeon.replace_by_gather(node, axis, indices)
        size = int(np.prod(cuts.shape(output), dtype=np.int64)) * width(value)
        op = "Slice" if run else "Gather"
        copy = Copy(value, op, len(indices), cuts.size(value, axis), size, 1)
        made[key] = node, copy
    return (*(copy for _, copy in made.values()), *behind)


def operands(deps: Dependencies, concat: Node) -> dict[int, Node]:
    """Return the Selects along its axis that only a concatenation reads, by its input."""
    if concat.op != "Concat" or concat.domain:
        return {}
    output = concat.outputs[0]
    rank = len(deps.ctx.shape(output) or ())
    if not rank or output in deps.graph.outputs:
        return {}
    axis = int(concat.attribute("axis", 1)) % rank
    made_by = {n.outputs[0]: n for n in selects(deps) if int(n.attribute("axis")) == axis}
    readers: dict[str, int] = {}
    for node in deps.graph.nodes:
        for key in node.inputs:
            readers[key] = readers.get(key, 0) + 1
    return {
        position: made_by[key]
        for position, key in enumerate(concat.inputs)
        if key in made_by and readers[key] == 1
    }


def _join(
    surgeon: Surgeon, deps: Dependencies, cuts: Cuts, concat: Node, own: dict[int, Node]
) -> Copy:
    """Let a concatenation read values as they are, and take what is wanted out of the whole."""
    output = concat.outputs[0]
    axis = int(concat.attribute("axis", 1)) % len(deps.ctx.shape(output) or (1,))
    start, chosen = 0, []
    for position, key in enumerate(concat.inputs):
        source = own[position].inputs[0] if position in own else key
        size = cuts.size(source, axis)
        indices = wanted_indices(cuts, source, key, axis) if position in own else None
        chosen.append(start + (np.arange(size) if indices is None else indices))
        start += size
        if position in own:
            surgeon.bypass(own[position])
    indices = np.concatenate(chosen)
    surgeon.gather_output(concat, axis, indices)
    size = int(np.prod(cuts.shape(output), dtype=np.int64)) * element_bytes(deps)(output)
    return Copy(output, "Gather", len(indices), start, size, len(own))
