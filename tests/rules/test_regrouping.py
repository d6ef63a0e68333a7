"""Reshape, Transpose and their relatives: small graphs and the groups they have."""

from __future__ import annotations

import pytest

from onnxprune.testing.groups import groups_of

CASES = {
    "flatten": (
        """
        (float[N,3,2,2] x) => (float[N,4] y) <float[6,3,1,1] w, float[24,4] v>
        { h = Conv(x, w) f = Flatten(h) y = MatMul(f, v) }
        """,
        ["6 w.0 v.0"],
    ),
    "channels last": (
        """
        (float[N,3,2,2] x) => (float[N,4] y) <float[6,3,1,1] w, float[24,4] v, int64[2]
        s={0,-1}>
        { h = Conv(x, w) t = Transpose<perm=[0,2,3,1]>(h) f = Reshape(t, s) y = MatMul(f, v)
        }
        """,
        ["6 w.0 v.0"],
    ),
    "channel shuffle": (
        """
        (float[N,3,2,2] x) => (float[N,4,2,2] y)
        <float[8,3,1,1] w, float[4,8,1,1] v, int64[5] s={0,2,4,2,2}, int64[4] m={0,8,2,2}>
        { h = Conv(x, w) a = Reshape(h, s) b = Transpose<perm=[0,2,1,3,4]>(a) c = Reshape(b,
        m) y = Conv(c, v) }
        """,
        ["4 w.0 v.1"],
    ),
    "pixel shuffle": (
        """
        (float[N,3,2,2] x) => (float[N,4,4,4] y) <float[12,3,1,1] w, float[4,3,1,1] v>
        { h = Conv(x, w) a = DepthToSpace<blocksize=2, mode="CRD">(h) y = Conv(a, v) }
        """,
        ["3 w.0 v.1 rows"],
    ),
    "pixel shuffle, depth first": (
        """
        (float[N,3,2,2] x) => (float[N,4,4,4] y) <float[12,3,1,1] w, float[4,3,1,1] v>
        { h = Conv(x, w) a = DepthToSpace<blocksize=2>(h) y = Conv(a, v) }
        """,
        ["3 w.0 v.1"],
    ),
    "space to depth": (
        """
        (float[N,3,4,4] x) => (float[N,4,2,2] y) <float[3,3,1,1] w, float[4,12,1,1] v>
        { h = Conv(x, w) a = SpaceToDepth<blocksize=2>(h) y = Conv(a, v) }
        """,
        ["3 w.0 v.1"],
    ),
    "squeeze": (
        """
        (float[N,3,1,1] x) => (float[N,4] y) <float[6,3,1,1] w, float[6,4] v, int64[2]
        a={2,3}>
        { h = Conv(x, w) s = Squeeze(h, a) y = MatMul(s, v) }
        """,
        ["6 w.0 v.0"],
    ),
    "unsqueeze": (
        """
        (float[N,4] x) => (float[N,6,1,3] y) <float[4,6] w, float[6,1,3] b, int64[2]
        a={2,3}>
        { h = MatMul(x, w) s = Unsqueeze(h, a) y = Add(s, b) }
        """,
        [],
    ),
    "heads": (
        """
        (float[N,T,6] x) => (float[N,T,6] y)
        <float[6,8] q, float[6,8] k, float[6,8] v, float[8,6] o, int64[4] s={0,0,2,4},
        int64[3] m={0,0,8}>
        { a=MatMul(x,q) b=MatMul(x,k) c=MatMul(x,v) a1=Reshape(a,s) b1=Reshape(b,s)
        c1=Reshape(c,s)
        a2=Transpose<perm=[0,2,1,3]>(a1) b2=Transpose<perm=[0,2,3,1]>(b1)
        c2=Transpose<perm=[0,2,1,3]>(c1)
        d=MatMul(a2,b2) e=Softmax(d) f=MatMul(e,c2) g=Transpose<perm=[0,2,1,3]>(f)
        h=Reshape(g,m) y=MatMul(h,o) }
        """,
        ["8 q.1 k.1 even", "2 q.1 k.1 v.1 o.0 rows", "8 v.1 o.0 even"],
    ),
    "heads that share a key and a value": (
        """
        (float[N,T,6] x) => (float[N,T,6] y)
        <float[6,8] q, float[6,4] k, float[6,4] v, float[8,6] o, int64[4] s={0,0,2,4},
        int64[4] e={0,0,1,4}, int64[3] m={0,0,8}>
        { a=MatMul(x,q) b=MatMul(x,k) c=MatMul(x,v) a1=Reshape(a,s) b1=Reshape(b,e)
        c1=Reshape(c,e)
        a2=Transpose<perm=[0,2,1,3]>(a1) b2=Transpose<perm=[0,2,3,1]>(b1)
        c2=Transpose<perm=[0,2,1,3]>(c1)
        d=MatMul(a2,b2) w=Softmax(d) f=MatMul(w,c2) g=Transpose<perm=[0,2,1,3]>(f)
        h=Reshape(g,m) y=MatMul(h,o) }
        """,
        ["4 q.1 k.1", "2 q.1 o.0 rows", "4 v.1 o.0"],
    ),
}


@pytest.mark.parametrize(("text", "groups"), CASES.values(), ids=CASES)
def test_groups(text: str, groups: list[str]) -> None:
    assert groups_of(text) == groups
