"""Matrix products and einsum: small graphs and the groups they have."""

from __future__ import annotations

import pytest

from onnxprune.testing.groups import groups_of

CASES = {
    "mlp": (
        """
        (float[N,4] x) => (float[N,3] y) <float[4,6] w, float[6] b, float[6,3] v>
        { h = Gemm(x, w, b) r = Relu(h) y = Gemm(r, v) }
        """,
        ["6 w.1 b v.0"],
    ),
    "transposed weights": (
        """
        (float[N,4] x) => (float[N,3] y) <float[6,4] w, float[6] b, float[3,6] v>
        { h = Gemm<transB=1>(x, w, b) r = Relu(h) y = Gemm<transB=1>(r, v) }
        """,
        ["6 w.0 b v.1"],
    ),
    "scalar addend": (
        """
        (float[N,4] x) => (float[N,3] y) <float[4,6] w, float[1] c, float[6,3] v>
        { h = Gemm(x, w, c) y = MatMul(h, v) }
        """,
        ["6 w.1 v.0"],
    ),
    "weight on the left": (
        """
        (float[4,N] x) => (float[3,N] y) <float[6,4] w, float[3,6] v>
        { h = MatMul(w, x) y = MatMul(v, h) }
        """,
        ["6 w.0 v.1"],
    ),
    "batched weight": (
        """
        (float[2,N,4] x) => (float[2,N,3] y) <float[2,4,6] w, float[2,6,3] v>
        { h = MatMul(x, w) y = MatMul(h, v) }
        """,
        ["6 w.2 v.1"],
    ),
    "of two activations": (
        """
        (float[N,4] x) => (float[N,N] y) <float[4,6] w, float[4,6] u>
        { h = MatMul(x, w) r = MatMul(x, u) t = Transpose<perm=[1,0]>(r) y = MatMul(h, t) }
        """,
        ["6 w.1 u.1"],
    ),
    "tied": (
        """
        (int64[N,T] i) => (float[N,T,9] y) <float[9,6] e, float[6,6] w>
        { x = Gather(e, i) h = MatMul(x, w) t = Transpose<perm=[1,0]>(e) y = MatMul(h, t) }
        """,
        ["6 e.1 w.0 w.1"],
    ),
    "einsum": (
        """
        (float[N,T,4] x) => (float[N,T,3] y) <float[4,2,6] w, float[2,6,3] v>
        { h = Einsum<equation="btd,dhe->bthe">(x, w) y = Einsum<equation="bthe,hed->btd">(h,
        v) }
        """,
        ["2 w.1 v.0", "6 w.2 v.1"],
    ),
    "one weight applied twice": (
        """
        (float[N,6] x) => (float[N,6] y) <float[6,6] w>
        { h = MatMul(x, w) y = MatMul(h, w) }
        """,
        [],
    ),
}


@pytest.mark.parametrize(("text", "groups"), CASES.values(), ids=CASES)
def test_groups(text: str, groups: list[str]) -> None:
    assert groups_of(text) == groups
