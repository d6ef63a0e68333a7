"""Operators that work position by position: small graphs and the groups they have."""

from __future__ import annotations

import pytest

from onnxprune.testing.groups import groups_of

CASES = {
    "unary": (
        """
        (float[N,4] x) => (float[N,3] y) <float[4,6] w, float[6,3] v>
        { h = MatMul(x, w) r = Relu(h) e = Erf(r) c = Cast<to=11>(e) d = Cast<to=1>(c) y =
        MatMul(d, v) }
        """,
        ["6 w.1 v.0"],
    ),
    "bias": (
        """
        (float[N,4] x) => (float[N,3] y) <float[4,6] w, float[6] b, float[6,3] v>
        { h = MatMul(x, w) r = Add(h, b) y = MatMul(r, v) }
        """,
        ["6 w.1 b v.0"],
    ),
    "residual": (
        """
        (float[N,4] x) => (float[N,3] y) <float[4,6] w, float[6,6] u, float[6,3] v>
        { h = MatMul(x, w) r = MatMul(h, u) s = Add(h, r) y = MatMul(s, v) }
        """,
        ["6 w.1 u.0 u.1 v.0"],
    ),
    "gate": (
        """
        (float[N,4] x) => (float[N,3] y) <float[4,6] w, float[4,6] u, float[6,3] v>
        { h = MatMul(x, w) r = MatMul(x, u) g = Sigmoid(h) s = Mul(g, r) y = MatMul(s, v) }
        """,
        ["6 w.1 u.1 v.0"],
    ),
    "one channel for all": (
        """
        (float[N,4] x) => (float[N,3] y) <float[4,6] w, float[4,1] u, float[6,3] v>
        { h = MatMul(x, w) r = MatMul(x, u) s = Mul(h, r) y = MatMul(s, v) }
        """,
        ["6 w.1 v.0"],
    ),
    "with the input": (
        """
        (float[N,4] x) => (float[N,3] y) <float[4,4] w, float[4,3] v>
        { h = MatMul(x, w) s = Add(h, x) y = MatMul(s, v) }
        """,
        [],
    ),
    "mask": (
        """
        (float[N,4] x) => (float[N,3] y) <float[4,6] w, bool[6] m, float[1] z, float[6,3] v>
        { h = MatMul(x, w) s = Where(m, h, z) y = MatMul(s, v) }
        """,
        ["6 w.1 m v.0"],
    ),
    "slope": (
        """
        (float[N,4] x) => (float[N,3] y) <float[4,6] w, float[6] p, float[6,3] v>
        { h = MatMul(x, w) s = PRelu(h, p) y = MatMul(s, v) }
        """,
        ["6 w.1 p v.0"],
    ),
    "three at once": (
        """
        (float[N,4] x) => (float[N,3] y) <float[4,6] w, float[4,6] u, float[6] t, float[6,3]
        v>
        { h = MatMul(x, w) r = MatMul(x, u) s = Max(h, r, t) y = MatMul(s, v) }
        """,
        ["6 w.1 u.1 t v.0"],
    ),
}


@pytest.mark.parametrize(("text", "groups"), CASES.values(), ids=CASES)
def test_groups(text: str, groups: list[str]) -> None:
    assert groups_of(text) == groups


@pytest.mark.parametrize("mask", ["", ", m"])
def test_outputs_that_nobody_reads_need_no_shape(mask: str) -> None:
    """The old Dropout has a mask, about whose shape inference says nothing."""
    text = f"""
        (float[N,4] x) => (float[N,3] y) <float[4,6] w, float[6,3] v>
        {{ h = MatMul(x, w) d{mask} = Dropout(h) y = MatMul(d, v) }}
        """
    assert groups_of(text, opset=9) == ["6 w.1 v.0"]
