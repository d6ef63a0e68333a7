"""Expand, Tile, ConstantOfShape: small graphs and the groups they have."""

from __future__ import annotations

import pytest

from onnxprune.testing.groups import groups_of

CASES = {
    "expanded": (
        """
        (float[N,1,4] x) => (float[N,3,4] y) <float[4,6] w, float[3,6] p, float[6,4] v,
        int64[3] s={1,3,1}>
        { h = MatMul(x, w) e = Expand(h, s) a = Add(e, p) y = MatMul(a, v) }
        """,
        ["6 w.1 p.1 v.0"],
    ),
    "grown channels": (
        """
        (float[N,1] x) => (float[N,4] y) <float[6] b, float[6,4] v, int64[2] s={1,6}>
        { e = Expand(x, s) a = Mul(e, b) y = MatMul(a, v) }
        """,
        ["6 b v.0"],
    ),
    "rows of what was grown": (
        """
        (float[N,3] x) => (float[N,4] y) <float[3,6] w, float[1,1] z, float[6,4] v,
        int64[2] s={1,6}, int64[3] r={0,2,3}, int64[2] f={0,6}, int64[1] i={2}>
        { h = MatMul(x, w) e = Expand(z, s) a = Add(h, e) b = Reshape(a, r)
        c = ReduceSum(b, i) m = Mul(b, c) d = Reshape(m, f) y = MatMul(d, v) }
        """,
        ["2 w.1 v.0 rows"],
    ),
    "repeated": (
        """
        (float[N,3] x) => (float[N,4] y) <float[3,5] w, float[10,4] v, int64[2] r={1,2}>
        { h = MatMul(x, w) t = Tile(h, r) y = MatMul(t, v) }
        """,
        ["5 w.1 v.0"],
    ),
    "constant": (
        """
        (float[N,3] x) => (float[N,4] y) <float[3,5] w, float[5,4] v, int64[1] s={5}>
        { h = MatMul(x, w) c = ConstantOfShape(s) a = Add(h, c) y = MatMul(a, v) }
        """,
        ["5 w.1 c v.0"],
    ),
}


@pytest.mark.parametrize(("text", "groups"), CASES.values(), ids=CASES)
def test_groups(text: str, groups: list[str]) -> None:
    assert groups_of(text) == groups
