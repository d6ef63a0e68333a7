"""What it takes that a runtime keeps images in blocks of channels, and not all operators can.

Convolutions and pools work on images of floats in blocks of channels, and leave that order of bytes
where numbers of channels are not what it takes. An operator that reads a value in the other order
needs that changed, and what would be computed with a convolution is computed on its own.

Source of the conditions: the NCHWc transformer of ONNX Runtime, and profiles of what it makes.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd, prod
from typing import TYPE_CHECKING, Literal

import numpy as np
from onnx import TensorProto

from onnxprune.core.branches import readers_of
from onnxprune.core.graph import INTERNAL, SELECT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

    from numpy.typing import NDArray

    from onnxprune.core.dependencies import Dependencies
    from onnxprune.core.graph import Node
    from onnxprune.costs import LayerCosts

    Flags = NDArray[np.bool_]
    Kind = Literal["dense", "grouped", "depthwise", "pool", "whole", "as inputs", "select", "own"]

_KINDS: dict[str, Kind] = {
    **dict.fromkeys(("AveragePool", "MaxPool"), "pool"),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool"), "whole"),
    **dict.fromkeys(
        ("BatchNormalization", "HardSigmoid", "HardSwish", "Relu", "Resize", "Sigmoid", "Tanh"),
        "as inputs",
    ),
}

_SUMS = frozenset(("Add", "Mul", "Sum"))
_ONLY_FUSED = frozenset(("Clip", "LeakyRelu"))
"""Operators that know blocks as part of the convolution in front, whose output only they read."""


@dataclass(frozen=True, slots=True)
class _Step:
    """A node, with the images that it reads and writes by number.

    Attributes:
        kind: how it treats the order. "as inputs" has blocks if all that it reads has, "whole" if
            all that it reads has whole ones, "own" never.
        inputs: images that it reads.
        outputs: images that it writes.
        fused: whether it may be computed with the convolution in front.
        between: whether the price of a copy at a Select includes changes of the order.
        each: greatest number that divides the channels in and out of each group of a convolution.
    """

    kind: Kind
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    fused: bool
    between: bool
    each: int = 0


class _State:
    """What is known of images so far: in blocks, plain from a convolution, or whatever is wanted.

    `same` is the image that a Select without a copy hands on. `left` are those that are changed to
    the plain order for some reader, `entered` the opposite.
    """

    def __init__(self, widths: list[int]) -> None:
        self.widths = widths
        self.same = list(range(len(widths)))
        self.blocked, self.convolved, self.either = set[int](), set[int](), set[int]()
        self.left, self.entered = set[int](), set[int]()

    def takes(self, image: int) -> bool:
        """Tell whether an image may be read in blocks without a change."""
        return image in self.blocked or image in self.either


class Blocks:
    """The time of changes of the order under any cut.

    Args:
        deps: the analysis.
        costs: say how images are kept; where they are not kept in blocks, nothing changes.
        fused: values that runtimes compute with a convolution.
        between: values that convolutions and pools exchange.
    """

    def __init__(
        self,
        deps: Dependencies,
        costs: LayerCosts,
        fused: AbstractSet[str],
        between: AbstractSet[str],
    ) -> None:
        self._costs, self._blocking = costs, costs.blocking
        roots = _images(deps) if self._blocking is not None else {}
        number = {key: place for place, key in enumerate(roots)}
        self._bytes = [_channel_bytes(deps, key) for key in roots]
        self._roots = np.concatenate([np.zeros(0, np.int64), *roots.values()])
        self._starts = np.cumsum([0, *(len(r) for r in roots.values())])[: len(roots)]
        self._known: tuple[list[int], float] | None = None
        self._steps = []
        readers = readers_of(deps)
        for node in deps.graph.nodes:
            read = node.inputs[:1] if node.op == "Conv" else node.inputs  # and no weight
            inputs = tuple(number[k] for k in read if k in number)
            outputs = tuple(number[k] for k in node.outputs if k in number)
            if inputs:
                inside = {node.inputs[0], node.output(0)} <= between
                kind = _kind(deps, node, readers)
                each = _each(deps, node) if kind == "grouped" else 0
                here = node.output(0) in fused
                self._steps.append(_Step(kind, inputs, outputs, here, inside, each))
        given = tuple(number[key] for key in deps.graph.outputs if key in number)
        if given:
            self._steps.append(_Step("own", given, (), fused=False, between=False))

    def us(self, cut: Flags) -> float:
        """Return the time of changes of the order, and of what is not fused because of them."""
        if not self._steps or self._blocking is None:
            return 0.0
        widths = np.add.reduceat(~cut[self._roots], self._starts, dtype=np.int64).tolist()
        if self._known is None or self._known[0] != widths:
            self._known = widths, self._us(_State(widths))
        return self._known[1]

    def _us(self, state: _State) -> float:
        assert self._blocking is not None
        own = 0.0
        for step in self._steps:
            if step.kind == "select":
                self._select(step, state)
            else:
                own += self._step_us(step, state)
        moved = [*state.left, *(state.entered - state.either)]
        return own + self._blocking.us([state.widths[n] * self._bytes[n] for n in moved])

    def _step_us(self, step: _Step, state: _State) -> float:
        """Follow one node; return what it takes more because it is not fused."""
        assert self._blocking is not None
        block, unit = self._blocking.block, self._blocking.unit
        inputs = {state.same[n] for n in step.inputs}
        width = state.widths[step.inputs[0]]
        if step.kind == "dense" and width < block:  # reads the plain order, writes blocks
            state.left |= state.blocked & inputs
            state.blocked.update(step.outputs)
            return 0.0
        if step.kind in ("dense", "depthwise"):
            inside = width % unit == 0
        elif step.kind == "grouped":
            inside = width % block == 0 and step.each % block == 0
        elif step.kind == "pool":
            inside = width % block == 0
        else:
            inside = step.kind != "own" and all(map(state.takes, inputs))
            if step.kind == "whole":
                inside &= all(state.widths[n] % block == 0 for n in inputs)
        if inside:
            state.entered |= inputs - state.blocked
            state.blocked.update(step.outputs)
            return 0.0
        state.left |= state.blocked & inputs
        alone = step.fused and not state.convolved & inputs
        if not alone and (step.fused or step.kind in ("dense", "grouped", "depthwise")):
            state.convolved.update(step.outputs)
        sizes = [state.widths[n] * self._bytes[n] for n in step.outputs if alone]
        return sum(map(self._costs.bytes_us, sizes))

    @staticmethod
    def _select(step: _Step, state: _State) -> None:
        first, [output] = state.same[step.inputs[0]], step.outputs
        if state.widths[first] == state.widths[output]:
            state.same[output] = first
        elif step.between:
            state.either.add(output)
        elif first in state.blocked:
            state.left.add(first)


def _kind(deps: Dependencies, node: Node, readers: Mapping[str, AbstractSet[int]]) -> Kind:
    if node.op == SELECT and node.domain == INTERNAL:
        return "select"
    if node.domain:
        return "own"
    if node.op == "Conv":
        if int(node.attribute("group", 1)) == 1:
            return "dense"
        return "depthwise" if (deps.ctx.shape(node.inputs[1]) or (0, 0))[1] == 1 else "grouped"
    if node.op == "Concat" and int(node.attribute("axis", 1)) == 1:
        return "whole"
    if node.op in _SUMS:
        shapes = {deps.ctx.shape(key) for key in node.inputs}
        constant = any(key in deps.ctx.constants for key in node.inputs)
        return "own" if constant or len(shapes) > 1 else "as inputs"
    if node.op in _ONLY_FUSED:
        return "as inputs" if len(readers.get(node.inputs[0], ())) == 1 else "own"
    return _KINDS.get(node.op, "own")


def _each(deps: Dependencies, node: Node) -> int:
    outer, inner = (deps.ctx.shape(node.inputs[1]) or (1, 1))[:2]
    return gcd(inner, outer // max(int(node.attribute("group", 1)), 1))


def _images(deps: Dependencies) -> dict[str, NDArray[np.int64]]:
    """Return float values of four axes with the label set of each channel, 0 for what stays."""
    found = {}
    for key in dict.fromkeys(k for n in deps.graph.nodes for k in (*n.inputs, *n.outputs)):
        shape = deps.ctx.shape(key) or ()
        dtype = deps.settings[0].dtypes.get(key, TensorProto.FLOAT)
        if len(shape) != 4 or not shape[1] or dtype != TensorProto.FLOAT:
            continue
        if key in deps.ctx.constants:
            continue
        own = [f for f in deps.ctx.factors_of.get(key, ()) if f.axes == (1,) and not f.level]
        whole = len(own) == 1 and len(own[0].labels) == shape[1]
        found[key] = deps.roots[own[0].labels] if whole else np.zeros(shape[1], np.int64)
    return found


def _channel_bytes(deps: Dependencies, key: str) -> int:
    shape = deps.ctx.shape(key) or ()
    return shape[0] * prod(shape[2:]) * 4
