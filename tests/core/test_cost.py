"""Multiply-accumulates of single nodes against counts by hand."""

from __future__ import annotations

import pytest

from onnxprune.core.cost import CostModel
from onnxprune.testing.groups import analyze_text

CASES = {
    "convolution": (
        """
        (float[2,6,8,8] x) => (float[2,4,8,8] y) <float[4,3,3,3] w>
        { y = Conv<group=2, pads=[1,1,1,1]>(x, w) }
        """,
        2 * 4 * 64 * 3 * 9,
    ),
    "transposed": (
        """
        (float[2,6,8,8] x) => (float[2,4,8,8] y) <float[6,4,1,1] w> { y = ConvTranspose(x, w) }
        """,
        2 * 6 * 64 * 4,
    ),
    "product": (
        "(float[2,5,6] x) => (float[2,5,4] y) <float[6,4] w> { y = MatMul(x, w) }",
        2 * 5 * 6 * 4,
    ),
    "gemm": (
        "(float[6,5] x) => (float[5,4] y) <float[6,4] w> { y = Gemm<transA=1>(x, w) }",
        5 * 6 * 4,
    ),
    "einsum": (
        """
        (float[2,5,6] x) => (float[2,3,5] y) <float[6,3] w>
        { y = Einsum<equation="bid,dk->bki">(x, w) }
        """,
        2 * 5 * 6 * 3,
    ),
    "lstm": (
        """
        (float[7,2,3] x) => (float[7,1,2,5] y) <float[1,20,3] w, float[1,20,5] r>
        { y = LSTM<hidden_size=5>(x, w, r) }
        """,
        7 * 2 * 20 * (3 + 5),
    ),
    "attention": (
        """
        (float[2,5,8] q, float[2,7,4] k, float[2,7,6] v) => (float[2,5,12] y)
        { y = Attention<q_num_heads=4, kv_num_heads=2>(q, k, v) }
        """,
        2 * 5 * 7 * (8 + 12),
    ),
    "attention of heads": (
        """
        (float[2,4,5,2] q, float[2,4,7,2] k, float[2,4,7,3] v) => (float[2,4,5,3] y)
        { y = Attention(q, k, v) }
        """,
        2 * 4 * 5 * 7 * (2 + 3),
    ),
    "quantised product": (
        "(uint8[2,6] x) => (int32[2,4] y) <uint8[6,4] w> { y = MatMulInteger(x, w) }",
        2 * 6 * 4,
    ),
    "activation": ("(float[2,6] x) => (float[2,6] y) { y = Relu(x) }", 0),
}


@pytest.mark.parametrize(("text", "macs"), CASES.values(), ids=CASES)
def test_macs(text: str, macs: int) -> None:
    assert CostModel(analyze_text(text, opset=23)).of().macs == macs
