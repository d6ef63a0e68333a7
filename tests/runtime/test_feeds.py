"""Made-up values are repeatable, of the declared type and safe."""

from __future__ import annotations

import pickle

import ml_dtypes
import numpy as np
import pytest

from onnxprune.errors import InvalidModelError
from onnxprune.runtime.feeds import FeedRecipe, InputSpec, synthetic_feeds


def _feed(dtype, dims=("N", 50), *, name="x", container="tensor", bounds=None, seed=0):
    spec = InputSpec(name, np.dtype(dtype), dims, container)
    ranges = None if bounds is None else {name: bounds}
    return synthetic_feeds([spec], {"N": 40}, seed=seed, ranges=ranges)[name]


@pytest.mark.parametrize(
    "dtype",
    [np.float16, np.float32, np.float64, ml_dtypes.bfloat16, np.complex64, np.complex128],
)
def test_floats_are_standard_normal(dtype):
    value = _feed(dtype)
    assert value.dtype == dtype
    assert value.shape == (40, 50)
    wide = value.astype(np.complex128)
    assert abs(wide.mean()) < 0.1
    assert 0.9 < wide.real.std() < 1.1


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        (np.int64, 0, 1),
        (np.int32, 0, 1),
        (np.uint16, 0, 1),
        (np.int8, -128, 127),
        (np.uint8, 0, 255),
        (ml_dtypes.int4, 0, 1),
        (np.bool_, False, True),
    ],
)
def test_integers(dtype, low, high):
    value = _feed(dtype)
    assert value.dtype == dtype
    wide = value.astype(np.int64)
    assert (wide.min(), wide.max()) == (low, high)


@pytest.mark.parametrize(
    ("dtype", "bounds"),
    [(np.int64, (5, 9)), (np.uint8, (3, 5)), (np.float32, (-0.5, 0.25)), (np.bool_, (1, 2))],
)
def test_ranges(dtype, bounds):
    value = _feed(dtype, bounds=bounds)
    assert value.dtype == dtype
    assert value.min() >= bounds[0]
    assert value.max() < bounds[1]
    assert dtype is np.bool_ or len(np.unique(value)) > 1


@pytest.mark.parametrize("dtype", [np.bool_, np.int64])
def test_masks_are_mostly_on(dtype):
    value = _feed(dtype, name="attention_mask")
    assert value.dtype == dtype
    assert value[:, 0].all()
    assert not value[:, -1].any()
    assert 0.6 < value.mean() < 0.9


def test_lengths_are_one():
    assert (_feed(np.int64, ("N",), name="input_lengths") == 1).all()


def test_strings():
    assert {type(word) for word in _feed(object).ravel()} == {str}


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint8, np.bool_, object])
@pytest.mark.parametrize("name", ["x", "mask", "len"])
def test_scalars(dtype, name):
    value = _feed(dtype, (), name=name)
    assert isinstance(value, np.ndarray)
    assert value.shape == ()
    assert value.dtype == dtype


def test_no_elements():
    assert _feed(np.float32, (0, "N")).shape == (0, 40)


def test_containers():
    one, other = _feed(np.float32, container="sequence")
    assert one.shape == other.shape == (40, 50)
    assert not np.array_equal(one, other)
    assert _feed(np.float32, container="optional").shape == (40, 50)
    assert len(_feed(np.float32, container="optional sequence")) == 2
    assert _feed(np.float32, None, container="optional") is None


@pytest.mark.parametrize(
    ("dims", "container", "text"),
    [
        (None, "tensor", "declares no number of dimensions"),
        (None, "sequence", "declares no number of dimensions"),
        (None, "other", "no values can be made up"),
        ((1 << 40, 1 << 40), "tensor", r"would have 4835703278458516698824704 bytes"),
    ],
)
def test_refused(dims, container, text):
    with pytest.raises(InvalidModelError, match=text):
        _feed(np.float32, dims, container=container)


def test_values_depend_on_name_and_seed_alone():
    x, y = (InputSpec(name, np.dtype(np.float32), (5,)) for name in "xy")
    alone = synthetic_feeds([x], {}, seed=3)["x"]
    together = synthetic_feeds([y, x], {}, seed=3)
    np.testing.assert_array_equal(alone, together["x"])
    assert not np.array_equal(together["x"], together["y"])
    assert not np.array_equal(alone, synthetic_feeds([x], {}, seed=4)["x"])


@pytest.mark.parametrize("dtype", [np.float32, object, ml_dtypes.bfloat16, ml_dtypes.int4])
def test_recipes_travel(dtype):
    recipe = FeedRecipe([InputSpec("x", np.dtype(dtype), ("N",))], {"N": 9}, seed=1)
    copy = pickle.loads(pickle.dumps(recipe))
    assert copy == recipe
    np.testing.assert_array_equal(copy.make()["x"], recipe.make()["x"])
