"""Slice, Gather, Scatter, Pad, Resize: small graphs and the groups they have."""

from __future__ import annotations

import pytest

from onnxprune.testing.groups import groups_of

CASES = {
    "slice": (
        """
        (float[N,3] x) => (float[N,4] y) <float[3,8] w, float[4,4] v, int64[1] a={2},
        int64[1] b={6}, int64[1] c={1}>
        { h = MatMul(x, w) s = Slice(h, a, b, c) y = MatMul(s, v) }
        """,
        ["8 w.1 v.0"],
    ),
    "slice in strides": (
        """
        (float[N,3] x) => (float[N,4] y) <float[3,8] w, float[4,4] v, int64[1] a={0},
        int64[1] b={8}, int64[1] c={1}, int64[1] d={2}>
        { h = MatMul(x, w) s = Slice(h, a, b, c, d) y = MatMul(s, v) }
        """,
        ["8 w.1 v.0"],
    ),
    "gather": (
        """
        (float[N,3] x) => (float[N,4] y) <float[3,8] w, float[3,4] v, int64[3] i={7,0,3}>
        { h = MatMul(x, w) s = Gather<axis=1>(h, i) y = MatMul(s, v) }
        """,
        ["8 w.1 v.0"],
    ),
    "gather one": (
        """
        (float[N,3] x) => (float[N] y) <float[3,8] w, int64 i={2}>
        { h = MatMul(x, w) y = Gather<axis=1>(h, i) }
        """,
        ["7 w.1[0:2,3:8]"],
    ),
    "embedding": (
        """
        (int64[N,T] i) => (float[N,T,4] y) <float[9,6] e, float[6,4] v>
        { x = Gather(e, i) y = MatMul(x, v) }
        """,
        ["6 e.1 v.0"],
    ),
    "gather elements": (
        """
        (float[N,3] x, int64[N,6] i) => (float[N,4] y) <float[3,6] w, float[6,4] v>
        { h = MatMul(x, w) g = GatherElements<axis=0>(h, i) y = MatMul(g, v) }
        """,
        [],
    ),
    "gather by tuples": (
        """
        (int64[N,T,1] i) => (float[N,T,4] y) <float[9,6] e, float[6,4] v>
        { x = GatherND(e, i) y = MatMul(x, v) }
        """,
        ["6 e.1 v.0"],
    ),
    "scatter by tuples": (
        """
        (float[N,3] x, int64[T,1] i, float[T,3] z) => (float[N,4] y) <float[3,6] w,
        float[6,4] v>
        { h = MatMul(x, w) u = MatMul(z, w) s = ScatterND(h, i, u) y = MatMul(s, v) }
        """,
        ["6 w.1 v.0"],
    ),
    "padded": (
        """
        (float[N,3] x) => (float[N,4] y) <float[3,5] w, float[8,4] v, int64[4] p={0,1,0,2}>
        { h = MatMul(x, w) s = Pad(h, p) y = MatMul(s, v) }
        """,
        ["5 w.1 v.0[1:6]"],
    ),
    "padded by reflection": (
        """
        (float[N,3,4,4] x) => (float[N,4,6,6] y) <float[5,3,1,1] w, float[4,5,1,1] v,
        int64[8] p={0,0,1,1,0,0,1,1}>
        { h = Conv(x, w) s = Pad<mode="reflect">(h, p) y = Conv(s, v) }
        """,
        ["5 w.0 v.1"],
    ),
    "resized": (
        """
        (float[N,3,4,4] x) => (float[N,4,8,8] y) <float[5,3,1,1] w, float[4,5,1,1] v,
        float[4] s={1,1,2,2}>
        { h = Conv(x, w) r = Resize(h, , s) y = Conv(r, v) }
        """,
        ["5 w.0 v.1"],
    ),
    "resized, channels last": (
        """
        (float[1,4,4,3] x) => (float[1,8,8,4] y) <float[3,5] w, float[5,4] v, int64[4]
        s={1,8,8,5}>
        { h = MatMul(x, w) r = Resize(h, , , s) y = MatMul(r, v) }
        """,
        ["5 w.1 v.0"],
    ),
    "cropped": (
        """
        (float[N,3,4,4] x) => (float[N,4,2,2] y) <float[5,3,1,1] w, float[4,5,1,1] v,
        int64[2] s={2,2}>
        { h = Conv(x, w) r = CenterCropPad<axes=[2,3]>(h, s) y = Conv(r, v) }
        """,
        ["5 w.0 v.1"],
    ),
    "top": (
        """
        (float[N,3] x) => (float[N,2] y, int64[N,2] i) <float[3,8] w, int64[1] k={2}>
        { h = MatMul(x, w) y, i = TopK(h, k) }
        """,
        [],
    ),
}


@pytest.mark.parametrize(("text", "groups"), CASES.values(), ids=CASES)
def test_groups(text: str, groups: list[str]) -> None:
    assert groups_of(text) == groups
