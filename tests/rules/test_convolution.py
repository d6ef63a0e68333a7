"""Convolutions: small graphs and the groups they have."""

from __future__ import annotations

import pytest

from onnxprune.testing.groups import groups_of

CASES = {
    "plain": (
        """
        (float[N,3,8,8] x) => (float[N,4,8,8] y) <float[6,3,1,1] w, float[6] b,
        float[4,6,1,1] v>
        { h = Conv(x, w, b) r = Relu(h) y = Conv(r, v) }
        """,
        ["6 w.0 b v.1"],
    ),
    "depthwise": (
        """
        (float[N,3,8,8] x) => (float[N,4,8,8] y) <float[6,3,1,1] w, float[6,1,3,3] d,
        float[6] b, float[4,6,1,1] v>
        { h = Conv(x, w) r = Conv<group=6, pads=[1,1,1,1]>(h, d, b) y = Conv(r, v) }
        """,
        ["6 w.0 d.0 b v.1"],
    ),
    "depthwise with two filters a channel": (
        """
        (float[N,3,8,8] x) => (float[N,4,8,8] y) <float[3,3,1,1] w, float[6,1,3,3] d,
        float[4,6,1,1] v>
        { h = Conv(x, w) r = Conv<group=3, pads=[1,1,1,1]>(h, d) y = Conv(r, v) }
        """,
        ["3 w.0 d.0 v.1 rows", "6 d.0 v.1 even"],
    ),
    "grouped": (
        """
        (float[N,3,8,8] x) => (float[N,4,8,8] y) <float[8,3,1,1] w, float[8,4,3,3] g,
        float[4,8,1,1] v>
        { h = Conv(x, w) r = Conv<group=2, pads=[1,1,1,1]>(h, g) y = Conv(r, v) }
        """,
        ["8 w.0 g.01 even", "2 w.0 g.0 v.1 rows", "8 g.0 v.1 even"],
    ),
    "grouped from the input": (
        """
        (float[N,4,8,8] x) => (float[N,4,8,8] y) <float[8,2,3,3] g, float[4,8,1,1] v>
        { r = Conv<group=2, pads=[1,1,1,1]>(x, g) y = Conv(r, v) }
        """,
        ["8 g.0 v.1 even"],
    ),
    "groups that are joined position by position": (
        """
        (float[N,3,8,8] x) => (float[N,4,8,8] y)
        <float[4,3,1,1] w, float[8,2,1,1] g, float[2,4,1,1] d, float[8,2,1,1] e,
        float[4,4,1,1] v, int64[5] s={0,2,4,8,8}, int64[1] a={1}>
        { h = Conv(x, w) r = Conv<group=2>(h, g) p = Reshape(r, s) q = ReduceSum<keepdims=0>(p, a)
        t = Conv(q, d) u = Conv(t, e) n = Reshape(u, s) o = Softmax<axis=1>(n) m = Mul(p, o)
        z = ReduceSum<keepdims=0>(m, a) y = Conv(z, v) }
        """,
        ["4 w.0 g.01 even", "4 g.0 d.1 e.0 v.1", "2 d.0 e.1"],
    ),
    "transposed": (
        """
        (float[N,3,8,8] x) => (float[N,4,8,8] y) <float[6,3,1,1] w, float[6,5,1,1] t,
        float[5] b, float[4,5,1,1] v>
        { h = Conv(x, w) r = ConvTranspose(h, t, b) y = Conv(r, v) }
        """,
        ["6 w.0 t.0", "5 t.1 b v.1"],
    ),
    "transposed and grouped": (
        """
        (float[N,3,8,8] x) => (float[N,4,8,8] y) <float[8,3,1,1] w, float[8,3,1,1] t,
        float[4,6,1,1] v>
        { h = Conv(x, w) r = ConvTranspose<group=2>(h, t) y = Conv(r, v) }
        """,
        ["8 w.0 t.0 even", "2 w.0 t.0 v.1 rows", "6 t.01 v.1 even"],
    ),
    "computed weight": (
        """
        (float[N,6,8,8] x, float[4,6,1,1] k) => (float[N,3,8,8] y) <float[3,4,1,1] v>
        { h = Conv(x, k) y = Conv(h, v) }
        """,
        [],
    ),
    "integer": (
        """
        (uint8[N,3,8,8] x) => (int32[N,4,8,8] y) <int8[6,3,1,1] w, uint8[6,1,1] q,
        int8[4,6,1,1] v>
        { h = ConvInteger(x, w) s = Cast<to=2>(h) t = BitwiseAnd(s, q) y = ConvInteger(t, v)
        }
        """,
        ["6 w.0 q.0 v.1"],
    ),
}


@pytest.mark.parametrize(("text", "groups"), CASES.values(), ids=CASES)
def test_groups(text: str, groups: list[str]) -> None:
    assert groups_of(text) == groups
