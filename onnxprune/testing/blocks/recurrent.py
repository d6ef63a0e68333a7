"""Blocks of recurrent networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxprune.testing.blocks.builder import Builder, Tensor
from onnxprune.testing.blocks.layers import transpose
from onnxprune.testing.blocks.registry import block
from onnxprune.testing.blocks.shaping import At, Size, reshape, shape_vector
from onnxprune.testing.blocks.versioned import cut, squeeze
from onnxprune.testing.blocks.weights import plain, weight

if TYPE_CHECKING:
    from collections.abc import Sequence

_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def _initial_state(b: Builder, x: Tensor, directions: int, hidden: int) -> str:
    """Make `[directions n hidden]`: zeros of computed shape, or a learned state expanded."""
    if isinstance(x.shape[0], int) and b.chance(0.5):
        return plain(b, b.rng.normal(0.0, 0.5, (directions, x.shape[0], hidden)))
    wanted = shape_vector(b, x, [directions, At(0), hidden])
    if b.chance(0.5):
        zeros = b.op("ConstantOfShape", wanted)
        return zeros if b.setting.dtype == np.float32 else b.op("Cast", zeros, to=b.elem_type)
    return b.op("Expand", plain(b, b.rng.normal(0.0, 0.5, (directions, 1, hidden))), wanted)


def _cell(b: Builder, kind: str, x: Tensor, hidden: int) -> tuple[list[str], int]:
    """Append the recurrent node over `[n l c]` and return its outputs and its directions."""
    direction = b.pick(["forward", "forward", "reverse", "bidirectional"])
    directions = 2 if direction == "bidirectional" else 1
    gates = _GATES[kind]
    operands: list[str] = [
        b.op("Transpose", x, perm=[1, 0, 2]),
        weight(b, (directions, gates * hidden, x.channels), fan_in=x.channels),
        weight(b, (directions, gates * hidden, hidden), fan_in=hidden),
        plain(b, b.rng.normal(0.0, 0.2, (directions, 2 * gates * hidden))) if b.chance(0.7) else "",
    ]
    if b.chance(0.5):
        operands += ["", _initial_state(b, x, directions, hidden)]
        if kind == "LSTM":
            operands.append(_initial_state(b, x, directions, hidden))
            if b.chance(0.3):
                operands.append(plain(b, b.rng.normal(0.0, 0.3, (directions, 3 * hidden))))
    while not operands[-1]:
        operands.pop()
    attributes: dict[str, int | str | Sequence[str]] = {"hidden_size": hidden}
    if directions == 2 or direction == "reverse" or b.chance(0.5):
        attributes["direction"] = direction
    if kind == "GRU":
        attributes["linear_before_reset"] = b.pick([0, 1])
    outputs = b.pick([2, 3]) if kind == "LSTM" else 2
    return b.node(kind, *operands, outputs=outputs, **attributes), directions


def _whole_output(b: Builder, x: Tensor, name: str, sizes: tuple[int, int]) -> Tensor:
    """Turn the output for every step, `[l directions n h]`, into `[n l (directions h)]`."""
    directions, hidden = sizes
    n, length = x.shape[0], x.shape[1]
    if directions == 1 and b.chance(0.6):
        flat = Tensor(squeeze(b, name, [1]), (length, n, hidden), "raw")
        return transpose(b, flat, [1, 0, 2], "seq")
    turned = transpose(b, Tensor(name, (length, directions, n, hidden)), [0, 2, 1, 3])
    flat = reshape(b, turned, [At(0), At(1), Size((At(2), At(3)))])
    return transpose(b, flat, [1, 0, 2], "seq")


def _last_output(b: Builder, x: Tensor, name: str, sizes: tuple[int, int]) -> Tensor:
    """Turn the last state, `[directions n h]`, into `[n (directions h)]`."""
    directions, hidden = sizes
    n = x.shape[0]
    if directions == 1:
        return Tensor(squeeze(b, name, [0]), (n, hidden), "vec")
    if b.chance(0.5):
        turned = transpose(b, Tensor(name, (directions, n, hidden)), [1, 0, 2])
        return reshape(b, turned, [At(0), Size((At(1), At(2)))], "vec")
    ends = [squeeze(b, cut(b, name, 0, slice(i, i + 1)), [0]) for i in range(2)]
    return Tensor(b.op("Concat", *ends, axis=1), (n, 2 * hidden), "vec")


def _recurrent(b: Builder, kind: str, x: Tensor) -> Tensor:
    hidden = b.between(3, 8)
    names, directions = _cell(b, kind, x, hidden)
    sizes = (directions, hidden)
    if b.chance(0.3):
        return _last_output(b, x, names[1], sizes)
    return _whole_output(b, x, names[0], sizes)


@block("seq", floats="f")
def lstm(b: Builder, x: Tensor) -> Tensor:
    """LSTM in any direction, with or without initial states and peepholes."""
    return _recurrent(b, "LSTM", x)


@block("seq", floats="f")
def gru(b: Builder, x: Tensor) -> Tensor:
    """GRU in any direction and in both ways of applying the reset gate."""
    return _recurrent(b, "GRU", x)


@block("seq", floats="f")
def rnn(b: Builder, x: Tensor) -> Tensor:
    """A plain recurrent network in any direction."""
    return _recurrent(b, "RNN", x)


@block("seq", floats="f")
def stacked_recurrent(b: Builder, x: Tensor) -> Tensor:
    """Two recurrent layers of one kind, the last state of the first handed to the second."""
    kind = b.pick(["LSTM", "GRU"])
    hidden = b.between(3, 8)
    first = b.op("Transpose", x, perm=[1, 0, 2])
    gates = _GATES[kind]
    states: list[str] = []
    width = x.channels
    for _ in range(2):
        matrices = [
            weight(b, (1, gates * hidden, width), fan_in=width),
            weight(b, (1, gates * hidden, hidden), fan_in=hidden),
        ]
        count = 3 if kind == "LSTM" else 2
        operands = [first, *matrices, *(["", ""] if states else []), *states]
        whole, *states = b.node(kind, *operands, outputs=count, hidden_size=hidden)
        first, width = squeeze(b, whole, [1]), hidden
    steps = Tensor(first, (x.shape[1], x.shape[0], hidden), "raw")
    return transpose(b, steps, [1, 0, 2], "seq")
