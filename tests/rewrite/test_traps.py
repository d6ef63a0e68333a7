"""What a naive rewrite gets wrong, case by case."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from onnx import numpy_helper

from onnxprune.core.dependencies import analyze_graph
from onnxprune.core.graph import build_graph
from onnxprune.core.shapes import concretize

from .conftest import Pruned, build

if TYPE_CHECKING:
    from collections.abc import Callable

    Prune = Callable[..., Pruned]


def test_attention_keeps_its_old_scale_when_head_sizes_shrink(prune_exactly: Prune) -> None:
    """1/sqrt(d) computed from a Shape is arithmetic; the targets of Reshape follow the cut."""
    model = build(
        """
        agraph (float[N, L, 6] x) => (float[N, L, 6] y)
        <int64[4] heads = {0, 0, 1, -1}, int64[3] flat = {0, 0, -1}, int64[1] last = {3},
         int64[1] end = {4}, float half = {-0.5}, int64 axis = {0}> {
          q = MatMul(x, wq)
          k = MatMul(x, wk)
          v = MatMul(x, wv)
          q4 = Reshape(q, heads)
          k4 = Reshape(k, heads)
          v4 = Reshape(v, heads)
          qh = Transpose<perm = [0, 2, 1, 3]>(q4)
          kt = Transpose<perm = [0, 2, 3, 1]>(k4)
          vh = Transpose<perm = [0, 2, 1, 3]>(v4)
          shape = Shape(qh)
          d1 = Slice(shape, last, end)
          d0 = Squeeze(d1)
          d = Cast<to = 1>(d0)
          scale = Pow(d, half)
          raw = MatMul(qh, kt)
          scores = Mul(raw, scale)
          p = Softmax<axis = -1>(scores)
          oh = MatMul(p, vh)
          ot = Transpose<perm = [0, 2, 1, 3]>(oh)
          o = Reshape(ot, flat)
          y = MatMul(o, wo)
        }""",
        wq=(6, 8), wk=(6, 8), wv=(6, 8), wo=(8, 6),
    )  # fmt: skip
    pruned = prune_exactly(model)
    assert pruned.initializer("wq").shape == (6, 4)
    assert pruned.initializer("wo").shape == (4, 6)


def test_heads_merged_into_a_batch_of_any_size_lose_different_channels(
    prune_exactly: Prune,
) -> None:
    model = build(
        """
        agraph (float[N, 5, 6] x) => (float[N, 5, 6] y)
        <int64[4] heads = {-1, 5, 3, 4}, int64[3] merged = {-1, 5, 4},
         int64[4] apart = {-1, 3, 5, 4}, int64[3] flat = {-1, 5, 12}> {
          q = MatMul(x, wq)
          k = MatMul(x, wk)
          v = MatMul(x, wv)
          q4 = Reshape(q, heads)
          k4 = Reshape(k, heads)
          v4 = Reshape(v, heads)
          qt = Transpose<perm = [0, 2, 1, 3]>(q4)
          kt = Transpose<perm = [0, 2, 1, 3]>(k4)
          vt = Transpose<perm = [0, 2, 1, 3]>(v4)
          qm = Reshape(qt, merged)
          km = Reshape(kt, merged)
          vm = Reshape(vt, merged)
          ks = Transpose<perm = [0, 2, 1]>(km)
          raw = MatMul(qm, ks)
          p = Softmax<axis = -1>(raw)
          om = MatMul(p, vm)
          o4 = Reshape(om, apart)
          ot = Transpose<perm = [0, 2, 1, 3]>(o4)
          o = Reshape(ot, flat)
          y = MatMul(o, wo)
        }""",
        wq=(6, 12), wk=(6, 12), wv=(6, 12), wo=(12, 6),
    )  # fmt: skip
    pruned = prune_exactly(model, 0.3)
    removed = pruned.removed("wq", 1)
    assert len(removed) == 3
    assert len({i % 4 for i in removed}) > 1


def test_mean_over_channels_divides_by_the_old_number(prune_exactly: Prune) -> None:
    model = build(
        """
        agraph (float[N, 3, 6, 6] x) => (float[N, 1, 6, 6] y) {
          h = Conv<kernel_shape = [1, 1]>(x, w)
          y = ReduceMean<axes = [1]>(h)
        }""",
        w=(8, 3, 1, 1),
    )
    pruned = prune_exactly(model, allow_approximate=True)
    assert pruned.initializer("w").shape == (4, 3, 1, 1)
    assert not pruned.plan.groups[0].exact


@pytest.mark.parametrize(
    "statistic",
    [
        "m = ReduceMax<axes = [1, 2, 3]>(w) u = Div(w, m)",
        "n = ReduceL2<axes = [1, 2, 3]>(w) u = Div(w, n)",
        """m = ReduceMean<axes = [1, 2, 3]>(w) c = Sub(w, m)
           v = ReduceSumSquare<axes = [1, 2, 3]>(c) u = Div(c, v)""",
        """r = Reshape(w, flat)
           n, o, p = BatchNormalization<training_mode = 1>(r, ones, ones, ones, ones)
           u = Reshape(n, whole)""",
    ],
    ids=["maximum", "norm", "standardised", "batch normalisation"],
)
def test_statistics_of_weights_stay_what_they_were(prune_exactly: Prune, statistic: str) -> None:
    ones = np.ones(4, np.float32)
    model = build(
        f"""
        agraph (float[N, 3, 6, 6] x) => (float[N, 4, 6, 6] y)
        <int64[3] flat = {{1, 4, 72}}, int64[4] whole = {{4, 8, 3, 3}}> {{
          h = Conv<kernel_shape = [1, 1]>(x, w1)
          {statistic}
          y = Conv<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(h, u)
        }}""",
        w1=(8, 3, 1, 1), w=(4, 8, 3, 3), ones=ones,
    )  # fmt: skip
    pruned = prune_exactly(model)
    assert pruned.initializer("w1").shape == (4, 3, 1, 1)
    assert pruned.plan.groups[0].exact


def test_shared_vector_is_split_where_its_users_lose_different_channels(
    prune_exactly: Prune,
) -> None:
    model = build(
        """
        agraph (float[N, 3, 6, 6] x) => (float[N, 2, 6, 6] y) {
          a = Conv<kernel_shape = [1, 1]>(x, w1, b)
          r = Relu(a)
          c = Conv<kernel_shape = [1, 1]>(r, w2, b)
          s = Relu(c)
          y = Conv<kernel_shape = [1, 1]>(s, w3)
        }""",
        w1=(8, 3, 1, 1), w2=(8, 8, 1, 1), w3=(2, 8, 1, 1), b=np.arange(8, dtype=np.float32) / 8,
    )  # fmt: skip
    pruned = prune_exactly(model)
    biases = [n.input[2] for n in pruned.nodes("Conv")[:2]]
    assert pruned.removed("w1", 0) != pruned.removed("w2", 0)
    assert len(set(biases)) == 2
    assert all(pruned.initializer(b).shape == (4,) for b in biases)


def test_copies_of_a_shared_vector_are_merged_again_when_equal(prune_exactly: Prune) -> None:
    model = build(
        """
        agraph (float[N, 3, 6, 6] x) => (float[N, 2, 6, 6] y) {
          a = Conv<kernel_shape = [1, 1]>(x, w1, b)
          r = Relu(a)
          t = Conv<kernel_shape = [1, 1]>(x, w2, b)
          s = Add(r, t)
          y = Conv<kernel_shape = [1, 1]>(s, w3)
        }""",
        w1=(8, 3, 1, 1), w2=(8, 3, 1, 1), w3=(2, 8, 1, 1), b=np.ones(8, np.float32),
    )  # fmt: skip
    pruned = prune_exactly(model)
    assert {n.input[2] for n in pruned.nodes("Conv")[:2]} == {"b"}


def test_constant_nodes_that_are_shared_are_split_as_well(prune_exactly: Prune) -> None:
    model = build(
        """
        agraph (float[N, 3, 6, 6] x) => (float[N, 2, 6, 6] y) {
          b = Constant<value_floats = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]>()
          a = Conv<kernel_shape = [1, 1]>(x, w1, b)
          r = Relu(a)
          c = Conv<kernel_shape = [1, 1]>(r, w2, b)
          s = Relu(c)
          t = Conv<kernel_shape = [1, 1]>(x, w4, b)
          u = Add(s, t)
          y = Conv<kernel_shape = [1, 1]>(u, w3)
        }""",
        w1=(8, 3, 1, 1), w2=(8, 8, 1, 1), w3=(2, 8, 1, 1), w4=(8, 3, 1, 1),
    )  # fmt: skip
    pruned = prune_exactly(model)
    assert pruned.removed("w1", 0) != pruned.removed("w2", 0)
    first, *others = (n.input[2] for n in pruned.nodes("Conv")[:3])
    assert first == "b"
    assert len(set(others)) == 1  # equal copies are one
    assert len(pruned.nodes("Constant")) == 1


@pytest.mark.parametrize(
    ("chain", "shape"),
    [
        ("w = Transpose<perm = [1, 0, 2, 3]>(raw)", (3, 8, 3, 3)),
        ("w = Reshape(raw, target)", (8, 27)),
        ("half = Cast<to = 10>(raw) w = Cast<to = 1>(half)", (8, 3, 3, 3)),
        ("w = Identity(raw)", (8, 3, 3, 3)),
    ],
)
def test_weight_behind_other_operators(
    prune_exactly: Prune, chain: str, shape: tuple[int, ...]
) -> None:
    model = build(
        f"""
        agraph (float[N, 3, 6, 6] x) => (float[N, 2, 6, 6] y)
        <int64[4] target = {{8, 3, 3, 3}}> {{
          {chain}
          h = Conv<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(x, w)
          r = Relu(h)
          y = Conv<kernel_shape = [1, 1]>(r, w2)
        }}""",
        raw=shape, w2=(2, 8, 1, 1),
    )  # fmt: skip
    pruned = prune_exactly(model)
    assert 4 in pruned.initializer("raw").shape
    assert pruned.initializer("w2").shape == (2, 4, 1, 1)


def test_scales_and_zero_points_follow_a_quantised_weight(prune_exactly: Prune) -> None:
    generator = np.random.default_rng(0)
    model = build(
        """
        agraph (float[N, 3, 6, 6] x) => (float[N, 2, 6, 6] y) {
          w = DequantizeLinear<axis = 0>(raw, scale, zero)
          h = Conv<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(x, w)
          r = Relu(h)
          y = Conv<kernel_shape = [1, 1]>(r, w2)
        }""",
        raw=generator.integers(-90, 90, (8, 3, 3, 3)).astype(np.int8),
        scale=generator.uniform(0.001, 0.01, 8).astype(np.float32),
        zero=np.zeros(8, np.int8), w2=(2, 8, 1, 1),
    )  # fmt: skip
    pruned = prune_exactly(model)
    assert pruned.initializer("raw").shape == (4, 3, 3, 3)
    assert pruned.initializer("scale").shape == pruned.initializer("zero").shape == (4,)


def test_constant_nodes_are_weights_as_well(prune_exactly: Prune) -> None:
    model = build(
        """
        agraph (float[N, 3] x) => (float[N, 2] y) {
          b = Constant<value = float[6] {1.0, 2.0, 3.0, 4.0, 5.0, 6.0}>()
          m = MatMul(x, w1)
          h = Add(m, b)
          r = Relu(h)
          y = MatMul(r, w2)
        }""",
        w1=(3, 6), w2=(6, 2),
    )  # fmt: skip
    pruned = prune_exactly(model)
    constant = pruned.nodes("Constant")[0].attribute[0].t
    assert list(constant.dims) == [3]


def test_initializers_listed_as_inputs_before_ir_4(prune_exactly: Prune) -> None:
    model = build(
        """
        agraph (float[N, 3, 6, 6] x, float[8, 3, 1, 1] w1, float[2, 8, 1, 1] w2)
        => (float[N, 2, 6, 6] y) {
          h = Conv<kernel_shape = [1, 1]>(x, w1)
          r = Relu(h)
          y = Conv<kernel_shape = [1, 1]>(r, w2)
        }""",
        opset=8, ir=3, w1=(8, 3, 1, 1), w2=(2, 8, 1, 1),
    )  # fmt: skip
    pruned = prune_exactly(model)
    declared = {
        i.name: [d.dim_value for d in i.type.tensor_type.shape.dim]
        for i in pruned.model.graph.input
    }
    assert declared["w1"] == [4, 3, 1, 1]
    assert declared["w2"] == [2, 4, 1, 1]


def test_channels_merged_with_a_symbolic_dimension(prune_exactly: Prune) -> None:
    """N * C in one axis: the computed target is scaled, not frozen at the probe's batch."""
    model = build(
        """
        agraph (float[N, 3, 6] x) => (float[N, 2, 6] y)
        <int64 zero = {0}, int64[1] eight = {8}, int64[1] six = {6}, int64[1] axis = {0},
         int64[3] back = {-1, 8, 6}> {
          h = Conv<kernel_shape = [1]>(x, w1)
          s = Shape(x)
          n = Gather(s, zero)
          n1 = Unsqueeze(n, axis)
          rows = Mul(n1, eight)
          target = Concat<axis = 0>(rows, six)
          flat = Reshape(h, target)
          r = Relu(flat)
          t = Reshape(r, back)
          y = Conv<kernel_shape = [1]>(t, w2)
        }""",
        w1=(8, 3, 1), w2=(2, 8, 1),
    )  # fmt: skip
    assert prune_exactly(model).initializer("w1").shape == (4, 3, 1)


def test_unequal_split_gets_explicit_sizes(prune_exactly: Prune) -> None:
    model = build(
        """
        agraph (float[N, 3, 6] x) => (float[N, 2, 6] y) {
          h = Conv<kernel_shape = [1]>(x, w1)
          a, b = Split<axis = 1>(h)
          ra = Relu(a)
          ya = Conv<kernel_shape = [1]>(ra, w2)
          yb = Conv<kernel_shape = [1]>(b, w3)
          y = Add(ya, yb)
        }""",
        w1=np.concatenate([np.ones((4, 3, 1)), np.full((4, 3, 1), 9.0)]).astype(np.float32),
        w2=(2, 4, 1), w3=(2, 4, 1),
    )  # fmt: skip
    pruned = prune_exactly(model, 0.25)
    sizes = pruned.initializer(pruned.nodes("Split")[0].input[1])
    assert sizes.sum() == 6


def test_grouped_convolution_loses_different_channels_in_each_group(prune_exactly: Prune) -> None:
    model = build(
        """
        agraph (float[N, 3, 6, 6] x) => (float[N, 2, 6, 6] y) {
          a = Conv<kernel_shape = [1, 1]>(x, w1)
          r = Relu(a)
          g = Conv<kernel_shape = [3, 3], pads = [1, 1, 1, 1], group = 2>(r, w2)
          s = Relu(g)
          y = Conv<kernel_shape = [1, 1]>(s, w3)
        }""",
        w1=(8, 3, 1, 1), w2=(12, 4, 3, 3), w3=(2, 12, 1, 1),
    )  # fmt: skip
    pruned = prune_exactly(model)
    assert pruned.initializer("w2").shape == (6, 2, 3, 3)
    blocks = [s.blocks for g in pruned.plan.groups for s in g.slices if s.blocks]
    assert blocks
    assert all(len(b) == 2 for rows in blocks for b in rows)


def test_whole_groups_leave_when_nothing_inside_can(prune_exactly: Prune) -> None:
    model = build(
        """
        agraph (float[N, 3, 6, 6] x) => (float[N, 2, 6, 6] y) {
          a = Conv<kernel_shape = [1, 1]>(x, w1)
          d = Conv<kernel_shape = [3, 3], pads = [1, 1, 1, 1], group = 8>(a, w2)
          y = Conv<kernel_shape = [1, 1]>(d, w3)
        }""",
        w1=(8, 3, 1, 1), w2=(8, 1, 3, 3), w3=(2, 8, 1, 1),
    )  # fmt: skip
    pruned = prune_exactly(model)
    attributes = {a.name: a.i for a in pruned.nodes("Conv")[1].attribute}
    assert attributes["group"] == 4


def test_lstm_units_leave_gates_recurrence_and_states(prune_exactly: Prune) -> None:
    model = build(
        """
        agraph (float[L, N, 3] x) => (float[L, N, 2] y)
        <int64[3] flat = {0, 0, -1}> {
          h, last, cell = LSTM<hidden_size = 8, direction = "bidirectional">(x, w, r, b)
          t = Transpose<perm = [0, 2, 1, 3]>(h)
          f = Reshape(t, flat)
          y = MatMul(f, w2)
        }""",
        w=(2, 32, 3), r=(2, 32, 8), b=(2, 64), w2=(16, 2),
    )  # fmt: skip
    pruned = prune_exactly(model)
    assert pruned.initializer("r").shape == (2, 16, 4)
    assert {a.name: a.i for a in pruned.nodes("LSTM")[0].attribute}["hidden_size"] == 4
    assert pruned.initializer("w2").shape == (8, 2)


def test_rows_that_only_longer_sequences_read_stay(prune_exactly: Prune) -> None:
    """Positions are known at the probe's length, which says nothing about other lengths."""
    model = build(
        """
        agraph (float[N, L, 6] x) => (float[N, L, 2] y)
        <int64 zero = {0}, int64 one = {1}> {
          s = Shape(x)
          length = Gather(s, one)
          positions = Range(zero, length, one)
          e = Gather(table, positions)
          m = MatMul(x, w1)
          h = Add(m, e)
          r = Relu(h)
          y = MatMul(r, w2)
        }""",
        w1=(6, 8), table=(40, 8), w2=(8, 2),
    )  # fmt: skip
    assert prune_exactly(model).initializer("table").shape == (40, 4)


def test_what_a_body_hides_is_not_read_from_outside(prune_exactly: Prune) -> None:
    """A bias that a loop hands on under its own name: no copy is made of it."""
    model = build(
        """
        agraph (float[N, 3] x) => (float[N, 2] y) <int64 trips = {2}, bool go = {1}> {
          h = MatMul(x, w1)
          o, c = Loop<body = inner (int64 i, bool g, float[N, 8] s, float[8] b)
            => (bool k, float[N, 8] t, float[8] b) {
              k = Identity(g)
              a = Add(s, b)
              t = Relu(a)
            }>(trips, go, h, b)
          y = MatMul(o, w2)
        }""",
        w1=(3, 8), w2=(8, 2), b=np.arange(8, dtype=np.float32) / 8,
    )  # fmt: skip
    pruned = prune_exactly(model)
    assert pruned.initializer("b").shape == (4,)
    assert not pruned.analysis.copies


@pytest.mark.parametrize(("rows", "expands"), [(4, False), (1 << 20, True)])
def test_what_a_few_bytes_blow_up_is_not_computed_ahead(rows: int, *, expands: bool) -> None:
    """A norm of weights behind a value of 64 GiB, and behind a small one, which is computed."""
    model = build(
        f"""
        agraph (float[N, 4] x) => (float[N, 3] y)
        <int64[2] big = {{{rows}, 16384}}, float[1, 1] one = {{1}}> {{
          e = Expand(one, big)
          s = ReduceMean<keepdims = 0>(e)
          scaled = Mul(v, s)
          norm = ReduceL2<axes = [1]>(scaled)
          u = Div(v, norm)
          h = MatMul(x, u)
          r = Relu(h)
          y = MatMul(r, w)
        }}""",
        v=(4, 8), w=(8, 3),
    )  # fmt: skip
    graph = build_graph(model)
    deps = analyze_graph(graph, concretize(graph, numpy_helper.to_array, [{"N": 2}, {"N": 3}]))
    assert bool(deps.ctx.held) is not expands
