"""Recurrent cells and control flow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from onnxprune.testing.made_cases import floats as f
from onnxprune.testing.made_cases import made_case, text_case

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnxprune.testing.node_cases import NodeCase


def cases() -> Iterator[NodeCase]:
    """Yield the cases."""
    yield from _recurrent()
    yield from _control_flow()


def _recurrent() -> Iterator[NodeCase]:
    steps, batch, width, hidden = 3, 2, 5, 4
    x = f(steps, batch, width)
    for op, gates in (("LSTM", 4), ("GRU", 3), ("RNN", 1)):
        for direction, number in (("forward", 1), ("bidirectional", 2)):
            w, r = f(number, gates * hidden, width), f(number, gates * hidden, hidden)
            bias = f(number, 2 * gates * hidden)
            state = f(number, batch, hidden)
            common: dict[str, Any] = {
                "hidden_size": hidden, "direction": direction,
                "outputs": 3 if op == "LSTM" else 2,
            }  # fmt: skip
            name = f"{op.lower()}_{direction}"
            yield made_case(name, op, [x, w, r], **common)
            lengths = np.array([3, 2], np.int32)
            full = [x, w, r, bias, lengths, state]
            if op == "LSTM":
                full += [f(number, batch, hidden, seed=1), f(number, 3 * hidden)]
            yield made_case(f"{name}_full", op, full, **common)


def _control_flow() -> Iterator[NodeCase]:
    state, items = f(2, 6), f(5, 2, 6)
    yield text_case(
        "scan_channels",
        """(float[2,6] s, float[5,2,6] z) => (float[2,6] r, float[5,2,6] o) {
        r, o = Scan<num_scan_inputs = 1, body = b (float[2,6] a, float[2,6] e)
            => (float[2,6] a2, float[2,6] e2) { a2 = Add(a, e)  e2 = Mul(a2, e) }>(s, z) }""",
        [state, items],
    )
    yield text_case(
        "scan_last_axis",
        """(float[6] s, float[6,5] z) => (float[6] r, float[6,5] o) {
        r, o = Scan<num_scan_inputs = 1, scan_input_axes = [1], scan_output_axes = [-1],
            body = b (float[6] a, float[6] e) => (float[6] a2, float[6] e2)
            { a2 = Add(a, e)  e2 = Neg(a2) }>(s, z) }""",
        [f(6), f(6, 5)],
    )
    trips, go = np.int64(3), np.bool_(True)  # noqa: FBT003
    yield text_case(
        "loop_channels",
        """(int64 n, bool c, float[2,6] s) => (float[2,6] r, float[k,2,6] o) {
        r, o = Loop(n, c, s) <body = b (int64 i, bool d, float[2,6] a)
            => (bool d2, float[2,6] a2, float[2,6] e) { d2 = Identity(d)  a2 = Add(a, a)
            e = Neg(a) }> }""",
        [trips, go, state],
    )
    yield text_case(
        "if_channels",
        """(bool c, float[2,6] x) => (float[2,6] r) {
        r = If(c) <then_branch = t () => (float[2,6] a) { a = Neg(x) },
            else_branch = e () => (float[2,6] b) { b = Abs(x) }> }""",
        [go, state],
    )
