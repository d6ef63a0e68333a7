"""Small graphs and the groups that they have: rules together, not alone."""

from __future__ import annotations

import pytest
from onnx import numpy_helper

import onnxprune_contrib_ops  # noqa: F401 - registers the rules
from onnxprune.core.graph import build_graph
from onnxprune.core.shapes import concretize
from onnxprune.testing.groups import frozen_of, groups_of, parse_model

CASES = {
    "projected attention": (
        """
        (float[N,T,6] x) => (float[N,T,6] y) <float[6,24] w, float[24] b, float[8,6] o>
        { a = com.microsoft.Attention<num_heads=4>(x, w, b) y = MatMul(a, o) }
        """,
        ["4 w.1 b o.0 rows"],
    ),
    "attention": (
        """
        (float[N,T,6] x) => (float[N,T,6] y) <float[6,8] q, float[6,8] k, float[6,8] v,
        float[8,6] o>
        { a = MatMul(x, q) b = MatMul(x, k) c = MatMul(x, v)
        d = com.microsoft.MultiHeadAttention<num_heads=2>(a, b, c) y = MatMul(d, o) }
        """,
        ["8 q.1 k.1 even", "2 q.1 k.1 v.1 o.0 rows", "8 v.1 o.0 even"],
    ),
    "attention with biases inside": (
        """
        (float[N,T,6] x) => (float[N,T,6] y) <float[6,8] q, float[6,8] k, float[6,8] v,
        float[24] b, float[8,6] o>
        { a = MatMul(x, q) c = MatMul(x, k) d = MatMul(x, v)
        e = com.microsoft.MultiHeadAttention<num_heads=2>(a, c, d, b) y = MatMul(e, o) }
        """,
        ["2 q.1 k.1 v.1 b o.0 rows", "8 v.1 b[16:24] o.0 even"],
    ),
    "fused convolutions": (
        """
        (float[N,3,8,8] x) => (float[N,2,8,8] y) <float[6,3,1,1] a, float[6] b, float[6,6,1,1] c,
        float[2,6,1,1] d>
        { h = com.microsoft.FusedConv<activation="Relu">(x, a, b)
        i = com.microsoft.FusedConv<activation="Relu">(h, c, "", h)
        y = Conv(i, d) }
        """,
        ["6 a.0 b c.0 c.1 d.1"],
    ),
    "blocks of bits": (
        """
        (float[N,32] x) => (float[N,4] y) <uint8[64,2,8] a, float[64,2] s, uint8[4,4,8] b,
        float[4,4] t>
        { h = com.microsoft.MatMulNBits<K=32, N=64, bits=4, block_size=16>(x, a, s)
        i = com.microsoft.QuickGelu(h)
        y = com.microsoft.MatMulNBits<K=64, N=4, bits=4, block_size=16>(i, b, t) }
        """,
        ["4 a.0 s.0 b.1 t.1 rows"],
    ),
    "skipped normalisation": (
        """
        (float[N,4] x) => (float[N,2] y) <float[4,6] w, float[6] g, float[6,2] v>
        { a = MatMul(x, w)
        b = com.microsoft.SkipSimplifiedLayerNormalization(a, a, g) y = MatMul(b, v) }
        """,
        ["6 w.1 g v.0 ~"],
    ),
    "recurrent": (
        """
        (float[T,N,3] x) => (float[T,1,N,2] y) <float[3,5] u, int8[1,5,24] w, int8[1,6,24] r,
        float[1,48] b, float[1] s, int8[1] z, float[6,2] v>
        { a = MatMul(x, u)
        h = com.microsoft.DynamicQuantizeLSTM<hidden_size=6>(a, w, r, b, , , , , s, z, s, z)
        y = MatMul(h, v) }
        """,
        ["5 u.1 w.1", "6 w.2 r.1 r.2 b.1 v.0"],
    ),
}


@pytest.mark.parametrize(("text", "groups"), CASES.values(), ids=CASES)
def test_groups(text: str, groups: list[str]) -> None:
    assert groups_of(text) == groups


def test_a_blocked_layout_is_a_reason() -> None:
    text = """
    (float[N,8,8,8] x) => (float[N,8,8,8] y) <float[8,8,1,1] a>
    { h = com.microsoft.nchwc.Conv(x, a) y = Relu(h) }
    """
    assert any("level all" in reason for reason in frozen_of(text))


def test_what_does_not_fit_at_some_sizes_is_noticed() -> None:
    """Sizes are looked for at which the operators here fit together, too."""
    text = """
        (uint8[N,3] a, uint8[M,3] b) => (uint8[K,6] y) <float s, uint8 z>
        { y = com.microsoft.QLinearConcat<axis=1>(s, z, a, s, z, b, s, z) }
        """
    graph = build_graph(parse_model(text))
    apart, alike = concretize(graph, numpy_helper.to_array, [{"N": 2, "M": 3}, {"N": 4, "M": 4}])
    assert "QLinearConcat" in apart.inconsistent
    assert not alike.inconsistent
