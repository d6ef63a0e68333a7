"""Pooling: small graphs and the groups they have."""

from __future__ import annotations

import pytest

from onnxprune.testing.groups import groups_of

CASES = {
    "over space": (
        """
        (float[N,3,4,4] x) => (float[N,4,1,1] y) <float[6,3,1,1] w, float[4,6,1,1] v>
        { h = Conv(x, w) p = MaxPool<kernel_shape=[2,2]>(h) g = GlobalAveragePool(p) y =
        Conv(g, v) }
        """,
        ["6 w.0 v.1"],
    ),
    "with indices": (
        """
        (float[N,3,4,4] x) => (float[N,4,3,3] y, int64[N,6,3,3] i) <float[6,3,1,1] w,
        float[4,6,1,1] v>
        { h = Conv(x, w) p, i = MaxPool<kernel_shape=[2,2]>(h) y = Conv(p, v) }
        """,
        [],
    ),
    "regions": (
        """
        (float[N,3,4,4] x, float[T,4] r, int64[T] b) => (float[T,4,2,2] y) <float[6,3,1,1]
        w, float[4,6,1,1] v>
        { h = Conv(x, w) p = RoiAlign<output_height=2, output_width=2>(h, r, b) y = Conv(p,
        v) }
        """,
        ["6 w.0 v.1"],
    ),
    "squeeze and excitation": (
        """
        (float[N,3,4,4] x) => (float[N,4,4,4] y) <float[6,3,1,1] w, float[2,6,1,1] d,
        float[6,2,1,1] u, float[4,6,1,1] v>
        { h = Conv(x, w) g = GlobalAveragePool(h) a = Conv(g, d) b = Relu(a) c = Conv(b, u)
        e = Sigmoid(c) f = Mul(h, e) y = Conv(f, v) }
        """,
        ["6 w.0 d.1 u.0 v.1", "2 d.0 u.1"],
    ),
}


@pytest.mark.parametrize(("text", "groups"), CASES.values(), ids=CASES)
def test_groups(text: str, groups: list[str]) -> None:
    assert groups_of(text) == groups
