"""Every criterion against values worked out by hand, and the laws that it promises."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from onnxprune.criteria import CRITERIA, criterion, find_criterion
from onnxprune.criteria.geometry import distances
from onnxprune.criteria.perturbation import regress, split_masks
from onnxprune.errors import InvalidConfigError, PluginError

MLP = """(float[N,2] x) => (float[N,2] y) <float[2,3] a, float[3,2] b>
    { h = MatMul(x, a)  r = Relu(h)  y = MatMul(r, b) }"""
A = np.array([[1, 0, 3], [0, 2, 4]])
B = np.array([[1, 1], [0, 2], [2, 0]])
X = np.array([[1, 1], [1, -1]], np.float32)  # r is [1 2 7] and [1 0 0], y [15 5] and [1 1]

SQUARES = np.array([3, 8, 29])
FAR = np.array([5**0.5 + 20**0.5, 5**0.5 + 13**0.5, 20**0.5 + 13**0.5])

BY_HAND = {
    "l1": np.array([3, 4, 9]) / (16 / 3),
    "l2": np.sqrt(SQUARES) / np.sqrt(SQUARES).mean(),
    "lamp": [3 / 40, 8 / 37, 1],
    "fpgm": FAR / FAR.mean(),
    "wanda": np.array([1 * 2, 2 * 4, 24.5 * 4]) / 108,
    "flap": np.array([0, 1 * 4, 12.25 * 4]) / 53,
    "variance": np.array([0, 1, 12.25]) / 13.25,
    "mean": np.array([1, 1, 3.5]) / 5.5,
    "apoz": np.array([1, 0.5, 0.5]) / 2,
    "perturbation": np.array([1, 4, 49]) / 32.75,
}
WEIGHTS_ONLY = ("l1", "l2", "lamp", "fpgm")


@pytest.mark.parametrize("name", BY_HAND)
def test_by_hand(name, score):
    found = score(MLP, X, a=A, b=B)
    for place in (("a", 1), ("b", 0)):
        np.testing.assert_allclose(found.scores(name, *place), BY_HAND[name], rtol=1e-5)
    assert not found.context.notes


def test_by_hand_covers_every_criterion():
    elsewhere = {"bn-scale", "file", "obs", "random"}
    assert {n for n in CRITERIA if n not in elsewhere} == set(BY_HAND)


@pytest.mark.parametrize("name", BY_HAND)
def test_permuted_channels_have_permuted_scores(name, score):
    rng = np.random.default_rng(1)
    a, b, x = rng.normal(size=(2, 3)), rng.normal(size=(3, 2)), rng.normal(size=(9, 2))
    x, order = x.astype(np.float32), [2, 0, 1]
    straight = score(MLP, x, a=a, b=b).scores(name, "a", 1)
    turned = score(MLP, x, a=a[:, order], b=b[order]).scores(name, "a", 1)
    np.testing.assert_allclose(turned, straight[order], rtol=1e-4)


@pytest.mark.parametrize("name", BY_HAND)
@pytest.mark.parametrize("scale", [0.125, 8.0])
def test_scores_do_not_depend_on_the_scale_of_a_layer(name, scale, score):
    """Criteria that see weights alone follow a common factor; the others a function that stays."""
    other = scale if name in WEIGHTS_ONLY else 1 / scale
    before = score(MLP, X, a=A, b=B).scores(name, "a", 1)
    after = score(MLP, X, a=A * scale, b=B * other).scores(name, "a", 1)
    np.testing.assert_allclose(after, before, rtol=1e-4)


TWO = """(float[N,2] x) => (float[N,2] y, float[N,4] z) <float[2,3] a, float[3,2] b, float[3,4] c>
    { h = MatMul(x, a)  r = Relu(h)  y = MatMul(r, b)  z = MatMul(r, c) }"""


@pytest.mark.parametrize("name", ["wanda", "flap", "variance", "mean", "apoz"])
def test_scores_add_up_over_consumers(name, score):
    rng = np.random.default_rng(2)
    c = rng.normal(size=(3, 4))
    both = score(TWO, X, a=A, b=B, c=c).scores(name, "a", 1)
    padded = MLP.replace("[N,2] y", "[N,4] y").replace("[3,2] b", "[3,4] b")
    alone = score(MLP, X, a=A, b=B).scores(name, "a", 1)
    other = score(padded, X, a=A, b=c).scores(name, "a", 1)
    np.testing.assert_allclose(both, alone + other, rtol=1e-5)


DEPTHWISE = """(float[N,2,4,4] x) => (float[N,2,4,4] y)
    <float[3,2,1,1] a, float[3,1,1,1] d, float[2,3,1,1] b>
    { h = Conv(x, a)  r = Relu(h)  t = Conv<group=3>(r, d)  y = Conv(t, b) }"""


def test_a_depthwise_convolution_is_no_consumer(score):
    x = np.random.default_rng(0).normal(size=(2, 2, 4, 4)).astype(np.float32)
    weights = {"a": A.T[:, :, None, None], "b": B.T[:, :, None, None]}
    found = score(DEPTHWISE, x, d=np.ones((3, 1, 1, 1)), **weights)
    assert len(found.context.consumers) == 1
    np.testing.assert_allclose(found.scores("wanda", "a", 0).sum(), 1, rtol=1e-5)


ATTENTION = """(float[N,4,6] x) => (float[N,4,6] y)
    <float[6,8] q, float[6,8] k, float[6,8] v, float[8,6] o>
    { a = MatMul(x, q)  b = MatMul(x, k)  c = MatMul(x, v)  t = Transpose<perm=[0,2,1]>(b)
      s = MatMul(a, t)  p = Softmax(s)  m = MatMul(p, c)  y = MatMul(m, o) }"""


@pytest.mark.parametrize("name", ["wanda", "variance", "mean", "perturbation"])
def test_products_of_activations_are_consumers_too(name, score):
    x = np.random.default_rng(0).normal(size=(3, 4, 6)).astype(np.float32)
    found = score(ATTENTION, x)
    assert (found.scores(name, "q", 1) > 0).all()
    assert not found.context.notes


# ---- batch normalisation -----------------------------------------------------------------------

NORMALISED = """(float[N,2,4,4] x) => (float[N,2,4,4] y)
    <float[3,2,1,1] a, float[3] g, float[3] s, float[3] m, float[3] w, float[5,3,1,1] c,
     float[2,5,1,1] b>
    { h = Conv(x, a)  n = BatchNormalization(h, g, s, m, w)  r = Relu(n)  u = Conv(r, c)
      e = Relu(u)  y = Conv(e, b) }"""


def test_bn_scale_and_what_has_none(score):
    found = score(NORMALISED, g=[-2, 1, 0.5])
    np.testing.assert_allclose(found.scores("bn-scale", "a", 0), [2, 1, 0.5])
    assert not found.context.notes
    other = found.scores("bn-scale", "c", 0)
    np.testing.assert_allclose(other, found.scores("l2", "c", 0) * 3.5 / 3, rtol=1e-5)
    [note] = found.context.notes.values()
    assert "no BatchNormalization" in note


def test_bn_scale_refuses_folded_models(score):
    with pytest.raises(InvalidConfigError, match="there is none") as error:
        score(MLP).scores("bn-scale", "a", 1)
    assert "fold" in error.value.hint


# ---- fallbacks ---------------------------------------------------------------------------------


def test_apoz_says_when_nothing_is_ever_zero(score):
    found = score(MLP.replace("Relu", "Sigmoid"), X, a=A, b=B)
    magnitude = found.scores("l2", "a", 1)
    np.testing.assert_allclose(found.scores("apoz", "a", 1), magnitude / 3)
    assert "never zero" in next(iter(found.context.notes.values()))


@pytest.mark.parametrize("name", ["wanda", "flap", "variance", "mean", "apoz"])
def test_atoms_that_no_consumer_tells_of_get_their_magnitude(name, score):
    found = score(MLP, X, a=A, b=B)
    scores = found.scores(name, "a", 1, consumers=())
    np.testing.assert_allclose(scores, found.scores("l2", "a", 1) / 3)
    assert found.context.notes


# ---- parts -------------------------------------------------------------------------------------


def test_equal_filters_are_at_no_distance():
    rows = np.random.default_rng(0).normal(size=(1, 400)).repeat(3, axis=0)
    np.testing.assert_array_equal(distances(rows), 0)


@pytest.mark.parametrize(("size", "runs"), [(3, 8), (8, 8), (9, 8), (100, 40), (64, 71)])
def test_masks_silence_every_atom_equally_often(size, runs):
    masks = split_masks(size, runs, np.random.default_rng(0))
    assert len(masks) <= runs
    assert len(set(masks.sum(axis=0).tolist())) == 1
    assert masks.any(axis=1).all()


def test_regression_finds_what_adds_up():
    rng = np.random.default_rng(0)
    truth = rng.random(40) ** 4
    masks = split_masks(40, 32, rng)
    flat = regress(masks, masks @ truth, np.ones(40))
    close = regress(masks, masks @ truth, truth * 3)
    assert np.corrcoef(flat, truth)[0, 1] > 0.5
    np.testing.assert_allclose(close, truth, atol=1e-12)


def test_greedy_scores_come_from_the_walk(score):
    found = score(MLP, a=A, b=B)
    name = found.analysis.deps.groups[0].id
    given = np.array([3.0, 1.0, 2.0])
    np.testing.assert_array_equal(found.scores("obs", "a", 1, greedy={name: given}), given)


# ---- the table ---------------------------------------------------------------------------------


def test_every_criterion_says_what_it_does_and_where_it_comes_from():
    own = {"random", "file"}
    for name, entry in CRITERIA.items():
        assert entry.summary.endswith("."), name
        source = sys.modules[entry.module].__doc__
        assert name in own or "arXiv" in source or "et al." in source, name


@pytest.mark.parametrize(
    ("asked", "match", "hint"),
    [
        ("magic", "no criterion 'magic'", "file:scores.json"),
        ("wanda", "with samples", "--calibration"),
        ("file", "'file' was asked for", "file:scores.json"),
        ("file:", "'file:' was asked for", "file:scores.json"),
        ("l2:3", "'l2:3' was asked for", "write it as l2"),
    ],
)
def test_wrong_names(asked, match, hint):
    with pytest.raises(InvalidConfigError, match=match) as error:
        find_criterion(asked, samples=False)
    assert hint in error.value.hint


def test_names_are_taken_once():
    with pytest.raises(PluginError, match="registered by"):
        criterion("l2")(CRITERIA["l2"].function)
