"""Normalisations: small graphs and the groups they have."""

from __future__ import annotations

import pytest

from onnxprune.testing.groups import groups_of

CASES = {
    "batch": (
        """
        (float[N,3,4,4] x) => (float[N,4,4,4] y) <float[6,3,1,1] w, float[6] s, float[6] b,
        float[6] m, float[6] d, float[4,6,1,1] v>
        { h = Conv(x, w) n = BatchNormalization(h, s, b, m, d) y = Conv(n, v) }
        """,
        ["6 w.0 s b m d v.1"],
    ),
    "batch, in training": (
        """
        (float[N,3,4,4] x) => (float[N,4,4,4] y) <float[6,3,1,1] w, float[6] s, float[6] b,
        float[6] m, float[6] d, float[4,6,1,1] v>
        { h = Conv(x, w) n, o, p = BatchNormalization<training_mode=1>(h, s, b, m, d) y =
        Conv(n, v) }
        """,
        ["6 w.0 s b m d v.1"],
    ),
    "instance": (
        """
        (float[N,3,4,4] x) => (float[N,4,4,4] y) <float[6,3,1,1] w, float[6] s, float[6] b,
        float[4,6,1,1] v>
        { h = Conv(x, w) n = InstanceNormalization(h, s, b) y = Conv(n, v) }
        """,
        ["6 w.0 s b v.1"],
    ),
    "group": (
        """
        (float[N,3,4,4] x) => (float[N,4,4,4] y) <float[6,3,1,1] w, float[6] s, float[6] b,
        float[4,6,1,1] v>
        { h = Conv(x, w) n = GroupNormalization<num_groups=3>(h, s, b) y = Conv(n, v) }
        """,
        ["3 w.0 s b v.1 rows"],
    ),
    "group across a joint": (
        """
        (float[N,3,4,4] x) => (float[N,4,4,4] y) <float[8,3,1,1] w, float[4,3,1,1] u,
        float[12] s, float[12] b, float[4,12,1,1] v>
        { h = Conv(x, w) i = Conv(x, u) c = Concat<axis=1>(h, i)
        n = GroupNormalization<num_groups=4>(c, s, b) y = Conv(n, v) }
        """,
        [
            "3 w.0 u.0[0] s[0:9] b[0:9] v.1[0:9] rows",
            "1 u.0[1:4] s[9:12] b[9:12] v.1[9:12] rows",
        ],
    ),
    "layer": (
        """
        (float[N,T,4] x) => (float[N,T,4] y) <float[4,6] w, float[6] s, float[6] b,
        float[6,4] v>
        { h = MatMul(x, w) n = LayerNormalization(h, s, b) y = MatMul(n, v) }
        """,
        ["6 w.1 s b v.0 ~"],
    ),
    "layer, over steps": (
        """
        (float[N,5,4] x) => (float[N,5,4] y) <float[4,6] w, float[5] s, float[6,4] v>
        { h = MatMul(x, w) t = Transpose<perm=[0,2,1]>(h) n = LayerNormalization(t, s) u =
        Transpose<perm=[0,2,1]>(n) y = MatMul(u, v) }
        """,
        ["6 w.1 v.0"],
    ),
    "softmax over channels": (
        """
        (float[N,4] x) => (float[N,3] y) <float[4,6] w, float[6,3] v>
        { h = MatMul(x, w) n = Softmax(h) y = MatMul(n, v) }
        """,
        ["6 w.1 v.0 ~"],
    ),
    "softmax over space": (
        """
        (float[N,3,4,4] x) => (float[N,4,4,4] y) <float[6,3,1,1] w, float[4,6,1,1] v>
        { h = Conv(x, w) n = Softmax(h) y = Conv(n, v) }
        """,
        ["6 w.0 v.1"],
    ),
    "local response": (
        """
        (float[N,3,4,4] x) => (float[N,4,4,4] y) <float[6,3,1,1] w, float[4,6,1,1] v>
        { h = Conv(x, w) n = LRN<size=3>(h) y = Conv(n, v) }
        """,
        [],
    ),
}


@pytest.mark.parametrize(("text", "groups"), CASES.values(), ids=CASES)
def test_groups(text: str, groups: list[str]) -> None:
    assert groups_of(text) == groups
