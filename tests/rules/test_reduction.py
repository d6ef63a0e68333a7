"""Reductions and running sums: small graphs and the groups they have."""

from __future__ import annotations

import pytest

from onnxprune.testing.groups import groups_of

CASES = {
    "mean over space": (
        """
        (float[N,3,4,4] x) => (float[N,4] y) <float[6,3,1,1] w, float[6,4] v, int64[2]
        a={2,3}>
        { h = Conv(x, w) m = ReduceMean<keepdims=0>(h, a) y = MatMul(m, v) }
        """,
        ["6 w.0 v.0"],
    ),
    "mean over channels": (
        """
        (float[N,3,4,4] x) => (float[N,1,4,4] y) <float[6,3,1,1] w, int64[1] a={1}>
        { h = Conv(x, w) y = ReduceMean(h, a) }
        """,
        ["6 w.0 ~"],
    ),
    "sum over channels": (
        """
        (float[N,3,4,4] x) => (float[N,1,4,4] y) <float[6,3,1,1] w, int64[1] a={1}>
        { h = Conv(x, w) y = ReduceSum(h, a) }
        """,
        ["6 w.0 ~"],
    ),
    "maximum over channels": (
        """
        (float[N,3,4,4] x) => (float[N,1,4,4] y) <float[6,3,1,1] w, int64[1] a={1}>
        { h = Conv(x, w) y = ReduceMax(h, a) }
        """,
        [],
    ),
    "of weights": (
        """
        (float[N,3,4,4] x) => (float[N,4,4,4] y) <float[6,3,1,1] w, float[4,6,1,1] v,
        int64[3] a={1,2,3}>
        { h = Conv(x, w) n = ReduceL2(v, a) u = Div(v, n) y = Conv(h, u) }
        """,
        ["6 w.0 v.1"],
    ),
    "position of the maximum": (
        """
        (float[N,3,4,4] x) => (int64[N,1,4,4] y) <float[6,3,1,1] w>
        { h = Conv(x, w) y = ArgMax<axis=1>(h) }
        """,
        [],
    ),
    "running sum": (
        """
        (float[N,3,4,4] x) => (float[N,4,4,4] y) <float[6,3,1,1] w, float[4,6,1,1] v, int64
        a={1}>
        { h = Conv(x, w) c = CumSum(h, a) y = Conv(c, v) }
        """,
        [],
    ),
}


@pytest.mark.parametrize(("text", "groups"), CASES.values(), ids=CASES)
def test_groups(text: str, groups: list[str]) -> None:
    assert groups_of(text) == groups
