"""If, Loop, Scan: small graphs and the groups they have."""

from __future__ import annotations

import pytest

from onnxprune.testing.groups import groups_of

CASES = {
    "branches": (
        """
        (float[N,3] x, bool c) => (float[N,4] y) <float[3,6] w, float[6] p, float[6] q,
        float[6,4] v>
        { h = MatMul(x, w)
        r = If(c) <then_branch = t () => (float[N,6] a) { a = Add(h, p) }, else_branch = e
        () => (float[N,6] b) { b = Mul(h, q) }>
        y = MatMul(r, v) }
        """,
        ["6 w.1 p q v.0"],
    ),
    "loop": (
        """
        (float[N,3] x, int64 n, bool c) => (float[N,4] y) <float[3,6] w, float[6,6] u,
        float[6,4] v>
        { h = MatMul(x, w)
        r = Loop(n, c, h) <body = b (int64 i, bool k, float[N,6] s) => (bool k2, float[N,6]
        s2) { k2 = Identity(k) s2 = MatMul(s, u) }>
        y = MatMul(r, v) }
        """,
        ["6 w.1 u.0 u.1 v.0"],
    ),
    "scan": (
        """
        (float[N,3] x, float[T,N,3] z) => (float[N,4] y) <float[3,6] w, float[3,6] u,
        float[6,4] v>
        { h = MatMul(x, w) i = MatMul(z, u)
        r, o = Scan<num_scan_inputs=1, body = b (float[N,6] s, float[N,6] e) => (float[N,6]
        s2, float[N,6] e2) { s2 = Add(s, e) e2 = Identity(s2) }>(h, i)
        y = MatMul(r, v) }
        """,
        ["6 w.1 u.1 v.0"],
    ),
}


@pytest.mark.parametrize(("text", "groups"), CASES.values(), ids=CASES)
def test_groups(text: str, groups: list[str]) -> None:
    assert groups_of(text) == groups
