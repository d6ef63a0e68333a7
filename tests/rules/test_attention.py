"""Attention and rotary embedding: small graphs and the groups they have."""

from __future__ import annotations

import pytest

from onnxprune.testing.groups import groups_of

CASES = {
    "three axes": (
        """
        (float[N,T,6] x) => (float[N,T,6] y) <float[6,8] q, float[6,8] k, float[6,8] v,
        float[8,6] o>
        { a = MatMul(x, q) b = MatMul(x, k) c = MatMul(x, v) d = Attention<q_num_heads=2,
        kv_num_heads=2>(a, b, c) y = MatMul(d, o) }
        """,
        ["8 q.1 k.1 even", "2 q.1 k.1 v.1 o.0 rows", "8 v.1 o.0 even"],
    ),
    "shared keys": (
        """
        (float[N,T,6] x) => (float[N,T,6] y) <float[6,16] q, float[6,8] k, float[6,8] v,
        float[16,6] o>
        { a = MatMul(x, q) b = MatMul(x, k) c = MatMul(x, v) d = Attention<q_num_heads=4,
        kv_num_heads=2>(a, b, c) y = MatMul(d, o) }
        """,
        ["4 q.1 k.1", "2 q.1 k.1 v.1 o.0 rows even", "8 v.1 o.0 even"],
    ),
    "four axes": (
        """
        (float[N,2,T,6] x) => (float[N,2,T,3] y) <float[2,6,4] q, float[2,6,4] k,
        float[2,6,5] v, float[2,5,3] o>
        { a = MatMul(x, q) b = MatMul(x, k) c = MatMul(x, v) d = Attention(a, b, c) y =
        MatMul(d, o) }
        """,
        ["4 q.2 k.2", "5 v.2 o.1"],
    ),
    "mask by head": (
        """
        (float[N,T,6] x, bool[1,2,T,T] m) => (float[N,T,6] y) <float[6,8] q, float[6,8] k,
        float[6,8] v, float[8,6] o>
        { a = MatMul(x, q) b = MatMul(x, k) c = MatMul(x, v) d = Attention<q_num_heads=2,
        kv_num_heads=2>(a, b, c, m) y = MatMul(d, o) }
        """,
        ["8 q.1 k.1 even", "8 v.1 o.0 even"],
    ),
    "turned heads": (
        """
        (float[N,T,6] x) => (float[N,T,6] y)
        <float[6,8] q, float[6,8] k, float[6,8] v, float[8,6] o, float[9,2] cos, float[9,2]
        sin, int64[1,5] p={0,1,2,3,4}>
        { a = MatMul(x, q) b = MatMul(x, k) c = MatMul(x, v) a1 =
        RotaryEmbedding<num_heads=2>(a, cos, sin, p) b1 = RotaryEmbedding<num_heads=2>(b,
        cos, sin, p)
        d = Attention<q_num_heads=2, kv_num_heads=2>(a1, b1, c) y = MatMul(d, o) }
        """,
        ["2 q.1 k.1 v.1 o.0 rows", "8 v.1 o.0 even"],
    ),
}


@pytest.mark.parametrize(("text", "groups"), CASES.values(), ids=CASES)
def test_groups(text: str, groups: list[str]) -> None:
    assert groups_of(text, opset=23) == groups
