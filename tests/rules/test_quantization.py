"""Quantised graphs: small graphs and the groups they have."""

from __future__ import annotations

import pytest

from onnxprune.testing.groups import groups_of

CASES = {
    "weight by channel": (
        """
        (float[N,3] x) => (float[N,4] y) <int8[3,6] w, float[6] s, int8[6] z, float[6,4] v>
        { d = DequantizeLinear(w, s, z) h = MatMul(x, d) y = MatMul(h, v) }
        """,
        ["6 w.1 s z v.0"],
    ),
    "weight as a whole": (
        """
        (float[N,3] x) => (float[N,4] y) <int8[3,6] w, float s={0.5}, float[6,4] v>
        { d = DequantizeLinear(w, s) h = MatMul(x, d) y = MatMul(h, v) }
        """,
        ["6 w.1 v.0"],
    ),
    "activation": (
        """
        (float[N,3] x) => (float[N,4] y) <float[3,6] w, float s={0.5}, uint8 z={3},
        float[6,4] v>
        { h = MatMul(x, w) q = QuantizeLinear(h, s, z) d = DequantizeLinear(q, s, z) y =
        MatMul(d, v) }
        """,
        ["6 w.1 v.0"],
    ),
    "blocks": (
        """
        (float[N,3] x) => (float[N,4] y) <float[3,8] w, uint8[8,4] q, float[4,4] s>
        { h = MatMul(x, w) d = DequantizeLinear<axis=0, block_size=2>(q, s) y = MatMul(h, d)
        }
        """,
        ["8 w.1 q.0 even", "4 w.1 q.0 s.0 rows"],
    ),
    "measured range": (
        """
        (float[N,3] x) => (int32[N,4] y) <float[3,6] w, uint8[6,4] v>
        { h = MatMul(x, w) q, s, z = DynamicQuantizeLinear(h) y = MatMulInteger(q, v, z) }
        """,
        ["6 w.1 v.0"],
    ),
    "integer products": (
        """
        (uint8[N,3] x) => (int32[N,4] y) <uint8[3,6] w, uint8[6,4] v>
        { h = MatMulInteger(x, w) c = Cast<to=2>(h) y = MatMulInteger(c, v) }
        """,
        ["6 w.1 v.0"],
    ),
    "quantised convolutions": (
        """
        (uint8[N,3,4,4] x) => (uint8[N,4,4,4] y)
        <int8[6,3,1,1] w, float[6] ws, int8[6] wz, int32[6] b, int8[4,6,1,1] v, float
        s={0.5}, uint8 z={3}, int8 vz={0}>
        { h = QLinearConv(x, s, z, w, ws, wz, s, z, b) y = QLinearConv(h, s, z, v, s, vz, s,
        z) }
        """,
        ["6 w.0 ws wz b v.1"],
    ),
    "quantised products": (
        """
        (uint8[N,3] x) => (uint8[N,4] y) <uint8[3,6] w, float[6] ws, uint8[6] wz, uint8[6,4]
        v, float s={0.5}, uint8 z={3}>
        { h = QLinearMatMul(x, s, z, w, ws, wz, s, z) y = QLinearMatMul(h, s, z, v, s, z, s,
        z) }
        """,
        ["6 w.1 ws wz v.0"],
    ),
}


@pytest.mark.parametrize(("text", "groups"), CASES.values(), ids=CASES)
def test_groups(text: str, groups: list[str]) -> None:
    assert groups_of(text) == groups
