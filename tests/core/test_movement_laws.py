"""Chains of data movement on element numbers: labels say which elements remain, in which order."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from onnxprune.testing.node_cases import NodeCase
from onnxprune.testing.soundness import check
from onnxprune.testing.trials import Style, Trial

if TYPE_CHECKING:
    from collections.abc import Callable

OPSET = 21


class Chain:
    """A chain of nodes under construction."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.ids = np.arange(math.prod(shape), dtype=np.float32).reshape(shape)
        self.value = self.ids
        self.name = "x"
        self.nodes: list = []
        self.constants: list = []

    def add(self, op: str, value: np.ndarray, *operands: object, before: bool = True, **attributes):
        """Append a node that makes `value` of the value so far and integer operands."""
        inputs = [self.name] if before else []
        for operand in operands:
            if isinstance(operand, str):
                inputs.append(operand)
                continue
            name = f"c{len(self.constants)}"
            array = np.array(operand, np.int64)
            self.constants.append(numpy_helper.from_array(array, name))
            inputs.append(name)
        output = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))
        self.value, self.name = value, output

    def case(self) -> NodeCase:
        """Return the chain as a case."""
        inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.ids.shape)]
        output = helper.make_tensor_value_info(self.name, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "chain", inputs, [output], self.constants)
        imports = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=imports, ir_version=10)
        return NodeCase("chain", model, {"x": self.ids}, {}, 0.0, 0.0, expanded=False)


def reshape(chain: Chain, draw: st.DrawFn) -> None:
    count, target = chain.value.size, []
    while count > 1 and len(target) < 3:
        size = draw(st.sampled_from([d for d in range(1, count + 1) if count % d == 0]))
        target.append(size)
        count //= size
    target.append(count)
    chain.add("Reshape", chain.value.reshape(target), target)


def transpose(chain: Chain, draw: st.DrawFn) -> None:
    order = draw(st.permutations(range(chain.value.ndim)))
    chain.add("Transpose", chain.value.transpose(order), perm=order)


def flatten(chain: Chain, draw: st.DrawFn) -> None:
    axis = draw(st.integers(0, chain.value.ndim))
    rows = math.prod(chain.value.shape[:axis])
    chain.add("Flatten", chain.value.reshape(rows, -1), axis=axis)


def concat(chain: Chain, draw: st.DrawFn) -> None:
    axis = draw(st.integers(0, chain.value.ndim - 1))
    joined = np.concatenate([chain.value, chain.value], axis)
    chain.add("Concat", joined, chain.name, axis=axis)


def swap(chain: Chain, draw: st.DrawFn) -> None:
    """Cut in two and join the other way round."""
    axis = draw(st.integers(0, chain.value.ndim - 1))
    size = chain.value.shape[axis]
    if size < 2:
        return
    cut = draw(st.integers(1, size - 1))
    first, second = np.split(chain.value, [cut], axis)
    name = chain.name
    chain.add("Split", first, [cut, size - cut], axis=axis)
    chain.nodes[-1].output.append(f"{chain.name}_rest")
    rest = chain.nodes[-1].output[1]
    chain.add("Concat", np.concatenate([second, first], axis), rest, chain.name, before=False,
              axis=axis)  # fmt: skip
    assert name


def gather(chain: Chain, draw: st.DrawFn) -> None:
    axis = draw(st.integers(0, chain.value.ndim - 1))
    size = chain.value.shape[axis]
    indices = draw(st.lists(st.integers(-size, size - 1), min_size=1, max_size=5))
    chain.add("Gather", chain.value.take(indices, axis), indices, axis=axis)


def cut_out(chain: Chain, draw: st.DrawFn) -> None:
    axis = draw(st.integers(0, chain.value.ndim - 1))
    size = chain.value.shape[axis]
    start = draw(st.integers(0, size - 1))
    end = draw(st.integers(start + 1, size))
    step = draw(st.sampled_from([1, 1, 1, 2]))
    index = [slice(None)] * chain.value.ndim
    index[axis] = slice(start, end, step)
    chain.add("Slice", chain.value[tuple(index)], [start], [end], [axis], [step])


def tile(chain: Chain, draw: st.DrawFn) -> None:
    repeats = draw(st.lists(st.sampled_from([1, 1, 2]), min_size=chain.value.ndim,
                            max_size=chain.value.ndim))  # fmt: skip
    chain.add("Tile", np.tile(chain.value, repeats), repeats)


def unsqueeze(chain: Chain, draw: st.DrawFn) -> None:
    axis = draw(st.integers(0, chain.value.ndim))
    chain.add("Unsqueeze", np.expand_dims(chain.value, axis), [axis])


def pad(chain: Chain, draw: st.DrawFn) -> None:
    axis = draw(st.integers(0, chain.value.ndim - 1))
    amounts = [[0, 0] for _ in range(chain.value.ndim)]
    amounts[axis] = draw(st.lists(st.integers(0, 2), min_size=2, max_size=2))
    flat = [a for a, _ in amounts] + [b for _, b in amounts]
    chain.add("Pad", np.pad(chain.value, amounts), flat)


MOVES: list[Callable[[Chain, st.DrawFn], None]] = [
    reshape, reshape, transpose, transpose, flatten, concat, swap, gather, cut_out, tile, unsqueeze,
    pad,
]  # fmt: skip
LARGEST = 4000


@st.composite
def trials(draw: st.DrawFn) -> Trial:
    """Draw a chain and the labels of its input."""
    shape = tuple(draw(st.lists(st.sampled_from([2, 3, 4, 6, 8]), min_size=1, max_size=3)))
    chain = Chain(shape)
    for _ in range(draw(st.integers(1, 6))):
        if chain.value.size < LARGEST and chain.value.ndim < 7:
            draw(st.sampled_from(MOVES))(chain, draw)
    if not chain.nodes:
        flatten(chain, draw)
    styles = {}
    kind = draw(st.sampled_from(["plain", "pair", "rows", "mixed"]))
    if kind == "mixed":
        styles["x"] = Style("mixed")
    elif kind != "plain" and len(shape) > 1:
        axes = draw(st.permutations(range(len(shape))))[:2]
        styles["x"] = Style(kind, tuple(axes))
    return Trial(chain.case(), frozenset(), styles, draw(st.integers(0, 1000)))


@settings(max_examples=400)
@given(trials())
def test_moved_elements_are_where_the_labels_say(trial: Trial) -> None:
    assert not check(trial).error


@pytest.mark.slow
@settings(max_examples=20_000)
@given(trials())
def test_moved_elements_are_where_the_labels_say_in_many_chains(trial: Trial) -> None:
    assert not check(trial).error
