"""LSTM, GRU, RNN: small graphs and the groups they have."""

from __future__ import annotations

import pytest

from onnxprune.testing.groups import groups_of

CASES = {
    "lstm": (
        """
        (float[T,N,3] x) => (float[T,1,N,2] y) <float[3,4] w, float[1,20,4] i, float[1,20,5]
        r, float[1,40] b, float[5,2] v>
        { h = MatMul(x, w) z = LSTM<hidden_size=5>(h, i, r, b) y = MatMul(z, v) }
        """,
        ["4 w.1 i.2", "5 i.1 r.1 r.2 b.1 v.0"],
    ),
    "both directions": (
        """
        (float[T,N,3] x) => (float[T,N,2] y) <float[2,15,3] i, float[2,15,5] r, float[10,2]
        v, int64[3] s={0,0,10}>
        { z = GRU<hidden_size=5, direction="bidirectional">(x, i, r) t =
        Transpose<perm=[0,2,1,3]>(z) f = Reshape(t, s) y = MatMul(f, v) }
        """,
        ["5 i.1 r.1 r.2 v.0"],
    ),
    "state from outside": (
        """
        (float[T,N,3] x, float[1,N,5] h) => (float[T,1,N,2] y) <float[1,5,3] i, float[1,5,5]
        r, float[5,2] v>
        { z = RNN<hidden_size=5>(x, i, r, , , h) y = MatMul(z, v) }
        """,
        [],
    ),
}


@pytest.mark.parametrize(("text", "groups"), CASES.values(), ids=CASES)
def test_groups(text: str, groups: list[str]) -> None:
    assert groups_of(text) == groups
