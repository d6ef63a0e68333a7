"""Concat and Split: small graphs and the groups they have."""

from __future__ import annotations

import pytest

from onnxprune.testing.groups import groups_of

CASES = {
    "concat": (
        """
        (float[N,3] x) => (float[N,4] y) <float[3,5] w, float[3,2] u, float[7,4] v>
        { h = MatMul(x, w) i = MatMul(x, u) c = Concat<axis=1>(h, i) y = MatMul(c, v) }
        """,
        ["5 w.1 v.0[0:5]", "2 u.1 v.0[5:7]"],
    ),
    "concat with itself": (
        """
        (float[N,3] x) => (float[N,4] y) <float[3,5] w, float[10,4] v>
        { h = MatMul(x, w) c = Concat<axis=1>(h, h) y = MatMul(c, v) }
        """,
        ["5 w.1 v.0"],
    ),
    "concat with the input": (
        """
        (float[N,3] x) => (float[N,4] y) <float[3,5] w, float[8,4] v>
        { h = MatMul(x, w) c = Concat<axis=1>(x, h) y = MatMul(c, v) }
        """,
        ["5 w.1 v.0[3:8]"],
    ),
    "concat along another axis": (
        """
        (float[1,N,3] x) => (float[2,N,4] y) <float[3,5] w, float[3,5] u, float[5,4] v>
        { h = MatMul(x, w) i = MatMul(x, u) c = Concat<axis=0>(h, i) y = MatMul(c, v) }
        """,
        ["5 w.1 u.1 v.0"],
    ),
    "split": (
        """
        (float[N,3] x) => (float[N,4] y, float[N,2] z) <float[3,7] w, float[5,4] u,
        float[2,2] v, int64[2] s={5,2}>
        { h = MatMul(x, w) a, b = Split<axis=1>(h, s) y = MatMul(a, u) z = MatMul(b, v) }
        """,
        ["7 w.1 u.0 v.0"],
    ),
    "split and multiply": (
        """
        (float[N,3] x) => (float[N,4] y) <float[3,8] w, float[4,4] u>
        { h = MatMul(x, w) a, b = Split<axis=1, num_outputs=2>(h) c = Mul(a, b) y =
        MatMul(c, u) }
        """,
        ["4 w.1 u.0"],
    ),
    "dense block": (
        """
        (float[N,3] x) => (float[N,4] y) <float[3,5] w, float[5,2] g, float[7,4] v>
        { h = MatMul(x, w) a = MatMul(h, g) c = Concat<axis=1>(h, a) y = MatMul(c, v) }
        """,
        ["5 w.1 g.0 v.0[0:5]", "2 g.1 v.0[5:7]"],
    ),
}


@pytest.mark.parametrize(("text", "groups"), CASES.values(), ids=CASES)
def test_groups(text: str, groups: list[str]) -> None:
    assert groups_of(text) == groups
