"""Laws of the label algebra: labels move as data moves, and sets of labels are equivalences."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from onnxprune.core.context import LabelContext, Operand
from onnxprune.core.graph import Graph
from onnxprune.core.labels import Factor, UnionFind, reshape_blocks, tidy
from onnxprune.core.shapes import Shapes

SIZES = st.sampled_from([1, 2, 3, 4, 6])
SHAPES = st.lists(SIZES, min_size=1, max_size=4).map(tuple)


def context() -> LabelContext:
    return LabelContext(Graph(""), Shapes({}))


def everywhere(factor: Factor, shape: tuple[int, ...]) -> np.ndarray:
    """Return the label of every element of a value."""
    return factor.over(range(len(shape)), shape)


@st.composite
def labelled(draw: st.DrawFn) -> tuple[LabelContext, Factor, tuple[int, ...]]:
    """Draw a value with one factor over one or two of its axes."""
    ctx = context()
    shape = draw(SHAPES.filter(lambda s: max(s) > 1))
    wide = [a for a, s in enumerate(shape) if s > 1]
    axes = tuple(draw(st.permutations(wide))[: draw(st.integers(1, 2))])
    return ctx, Factor(axes, ctx.fresh(*(shape[a] for a in axes))), shape


@st.composite
def other_shape(draw: st.DrawFn, count: int) -> tuple[int, ...]:
    """Draw a shape with a given number of elements."""
    sizes: list[int] = []
    while count > 1 and len(sizes) < 4:
        size = draw(st.sampled_from([d for d in range(1, count + 1) if count % d == 0]))
        sizes.append(size)
        count //= size
    return (*sizes, count) if count > 1 or not sizes else tuple(sizes)


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=30))
def test_sets_are_equivalences(pairs: list[tuple[int, int]]) -> None:
    sets, naive = UnionFind(), list(range(21))
    sets.fresh(20)
    for a, b in pairs:
        sets.unite(np.array([a]), np.array([b]))
        naive = [naive[a] if n == naive[b] else n for n in naive]
    found = sets.find(np.arange(21))
    same = np.array(naive)
    assert np.array_equal(found[:, None] == found, same[:, None] == same)
    assert (found <= np.arange(21)).all()


@given(st.data(), SHAPES)
def test_blocks_of_a_reshape_cover_both_shapes_in_order(
    data: st.DataObject, shape: tuple[int, ...]
):
    after = data.draw(other_shape(math.prod(shape)))
    blocks = reshape_blocks(shape, after)
    assert [a for b in blocks for a in b.inputs] == list(range(len(shape)))
    assert [a for b in blocks for a in b.outputs] == list(range(len(after)))
    for block in blocks:
        sizes = (
            math.prod(shape[a] for a in block.inputs),
            math.prod(after[a] for a in block.outputs),
        )
        assert sizes[0] == sizes[1]


@given(labelled())
def test_tidying_keeps_the_label_of_every_element(
    value: tuple[LabelContext, Factor, tuple[int, ...]],
) -> None:
    _, factor, shape = value
    spread = everywhere(factor, shape)
    found = tidy(range(len(shape)), spread)
    assert found is not None
    assert np.array_equal(everywhere(found, shape), spread)


@given(labelled(), st.data())
def test_reshape_moves_labels_as_numpy_moves_data(
    value: tuple[LabelContext, Factor, tuple[int, ...]], data: st.DataObject
) -> None:
    ctx, factor, shape = value
    after = data.draw(other_shape(math.prod(shape)))
    moved = ctx.reshape([factor], shape, after)
    if moved:
        spread = ctx.labels.find(np.ascontiguousarray(everywhere(factor, shape)))
        result = ctx.labels.find(np.ascontiguousarray(everywhere(moved[0], after)))
        assert np.array_equal(result, spread.reshape(after))
    else:
        assert ctx.frozen


@given(labelled(), st.data())
def test_reshape_back_gives_the_same_labels(
    value: tuple[LabelContext, Factor, tuple[int, ...]], data: st.DataObject
) -> None:
    ctx, factor, shape = value
    after = data.draw(other_shape(math.prod(shape)))
    back = ctx.reshape(ctx.reshape([factor], shape, after), after, shape)
    assert len(back) == 1
    before = ctx.labels.find(np.ascontiguousarray(everywhere(factor, shape)))
    assert np.array_equal(ctx.labels.find(np.ascontiguousarray(everywhere(back[0], shape))), before)


@given(labelled(), st.data())
def test_two_reshapes_are_one(
    value: tuple[LabelContext, Factor, tuple[int, ...]], data: st.DataObject
) -> None:
    ctx, factor, shape = value
    middle, last = (data.draw(other_shape(math.prod(shape))) for _ in range(2))
    twice = ctx.reshape(ctx.reshape([factor], shape, middle), middle, last)
    once = ctx.reshape([factor], shape, last)
    assert len(once) == len(twice)
    for a, b in zip(once, twice, strict=True):
        first, second = (np.ascontiguousarray(everywhere(f, last)) for f in (a, b))
        assert np.array_equal(ctx.labels.find(first), ctx.labels.find(second))


@given(labelled(), st.data())
def test_transposing_there_and_back(
    value: tuple[LabelContext, Factor, tuple[int, ...]], data: st.DataObject
) -> None:
    ctx, factor, shape = value
    order = data.draw(st.permutations(range(len(shape))))
    moved = ctx.permute([factor], order)
    turned = tuple(shape[a] for a in order)
    spread = everywhere(factor, shape)
    assert np.array_equal(everywhere(moved[0], turned), spread.transpose(order))
    back = ctx.permute(moved, np.argsort(order).tolist())
    assert back[0].axes == factor.axes


@given(labelled(), st.data())
def test_taking_indices(
    value: tuple[LabelContext, Factor, tuple[int, ...]], data: st.DataObject
) -> None:
    ctx, factor, shape = value
    axis = data.draw(st.integers(0, len(shape) - 1))
    indices = np.array(data.draw(st.lists(st.integers(0, shape[axis] - 1), min_size=1, max_size=6)))
    taken = ctx.take([factor], axis, indices)
    after = (*shape[:axis], len(indices), *shape[axis + 1 :])
    wanted = everywhere(factor, shape).take(indices, axis)
    if taken:
        assert np.array_equal(everywhere(taken[0], after), wanted)
    else:
        frozen = np.concatenate([labels for labels, _ in ctx.frozen])
        assert np.isin(wanted, frozen).all()


def test_one_index_of_every_row_stays() -> None:
    """Rows that lose different indices do not move up to where one index is selected."""
    ctx = context()
    rows = Factor((0, 1), ctx.fresh(3, 2))
    assert not ctx.take([rows], 1, np.array([0]))
    ((labels, reason),) = ctx.frozen
    assert labels.tolist() == rows.labels[:, 0].tolist()
    assert "single index" in reason.reason


@given(labelled(), st.data())
def test_joining_the_parts_of_a_split(
    value: tuple[LabelContext, Factor, tuple[int, ...]], data: st.DataObject
) -> None:
    ctx, factor, shape = value
    axis = data.draw(st.sampled_from(factor.axes))
    cut = data.draw(st.integers(0, shape[axis]))
    spread = everywhere(factor, shape)
    parts = [
        (ctx.take([factor], axis, np.arange(a, b)), b - a)
        for a, b in ((0, cut), (cut, shape[axis]))
        if b > a
    ]
    joined = ctx.concatenate(parts, axis, shape, "y")
    frozen = {int(label) for labels, _ in ctx.frozen for label in labels}
    for result in joined:
        found = everywhere(result, shape)
        same = ctx.labels.find(np.ascontiguousarray(found)) == ctx.labels.find(
            np.ascontiguousarray(spread)
        )
        assert all(int(label) in frozen for label in spread[~same])


@given(labelled(), st.data())
def test_collapsing_unites_what_it_drops(
    value: tuple[LabelContext, Factor, tuple[int, ...]], data: st.DataObject
) -> None:
    ctx, factor, shape = value
    keep = data.draw(st.sampled_from(factor.axes))
    kept = ctx.collapse(factor, (keep,))
    spread = ctx.labels.find(np.ascontiguousarray(everywhere(factor, shape)))
    assert np.array_equal(ctx.labels.find(np.ascontiguousarray(everywhere(kept, shape))), spread)
    assert len(np.unique(spread)) == shape[keep]


@given(labelled())
def test_a_value_aligned_with_itself_gains_no_constraint(
    value: tuple[LabelContext, Factor, tuple[int, ...]],
) -> None:
    ctx, factor, shape = value
    before = ctx.labels.find(np.arange(len(ctx.labels)))
    operand = Operand((factor,), dict(enumerate(shape)), "x")
    (result,) = ctx.align([operand, operand])
    assert np.array_equal(result.labels, factor.labels)
    assert np.array_equal(ctx.labels.find(np.arange(len(ctx.labels))), before)
    assert not ctx.frozen
