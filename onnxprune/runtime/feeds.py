"""Values for a model's inputs when there is no data.

They depend on an input's name and shape and on a seed alone, so that the original and the pruned
model see the same in any process and order.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from onnxprune.errors import InvalidModelError, printable
from onnxprune.runtime.dims import choose_dims
from onnxprune.runtime.inputs import InputSpec, input_specs

if TYPE_CHECKING:
    from numpy.random import Generator

__all__ = [
    "Array",
    "Feed",
    "FeedRecipe",
    "FeedValue",
    "InputSpec",
    "choose_dims",
    "input_specs",
    "synthetic_feeds",
]

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
FeedValue: TypeAlias = Array | list[Array] | None
Feed: TypeAlias = Mapping[str, FeedValue]
Range: TypeAlias = tuple[float, float]

# A value above this is a mistake in the model or the sizes, and would only run out of memory.
_VALUE_BYTES: Final = 4 << 30
_SEQUENCE_LENGTH: Final = 2

_MASK: Final = re.compile(r"mask", re.IGNORECASE)
_LENGTH: Final = re.compile(r"len(gth)?s?$", re.IGNORECASE)
_WORDS: Final = np.array(["a", "b c", "", "prune"], object)


@dataclass(frozen=True, slots=True)
class FeedRecipe:
    """A synthetic feed that is made where it is used, see `synthetic_feeds`."""

    specs: Sequence[InputSpec]
    dims: Mapping[str, int]
    seed: int = 0
    ranges: Mapping[str, Range] = field(default_factory=dict)

    def make(self) -> dict[str, FeedValue]:
        """Return the feed."""
        return synthetic_feeds(self.specs, self.dims, seed=self.seed, ranges=self.ranges)


def synthetic_feeds(
    specs: Sequence[InputSpec],
    dims: Mapping[str, int],
    *,
    seed: int,
    ranges: Mapping[str, Range] | None = None,
) -> dict[str, FeedValue]:
    """Make a value for every input.

    Floats are standard normal. Integers are 0 or 1, because they may be indices into anything; but
    8-bit ones, mostly pixels, cover their type, and those named as lengths are 1. Masks (by name)
    are mostly on: always at their first position and never at their last one, so that no row of an
    attention is empty whichever way the mask is meant. A sequence has two elements.

    Args:
        specs: The inputs.
        dims: A size for every symbol.
        seed: What the values are derived from, a whole number from 0.
        ranges: By input, a half-open range [low, high) that values are drawn from uniformly.

    Raises:
        InvalidModelError: Nothing can be made up for an input.

    Examples:
        >>> ids = InputSpec("ids", np.dtype(np.int64), ("batch", 3))
        >>> synthetic_feeds([ids], {"batch": 1}, seed=0, ranges={"ids": (7, 8)})
        {'ids': array([[7, 7, 7]])}
    """
    ranges = ranges or {}
    return {spec.name: _value(spec, dims, seed, ranges.get(spec.name)) for spec in specs}


def _value(spec: InputSpec, dims: Mapping[str, int], seed: int, bounds: Range | None) -> FeedValue:
    if spec.container == "other":
        message = f"input '{printable(spec.name)}' is of a type that no values can be made up for"
        raise InvalidModelError(message, hint="give calibration data")
    if spec.dims is None and spec.container.startswith("optional"):
        return None
    shape = spec.shape(dims)
    size = math.prod(shape) * spec.dtype.itemsize
    if size > _VALUE_BYTES:
        message = f"input '{printable(spec.name)}' of shape {list(shape)} would have {size} bytes"
        raise InvalidModelError(message, hint="give smaller sizes, or calibration data")
    generator = np.random.default_rng([seed, zlib.crc32(spec.name.encode())])
    if spec.container.endswith("sequence"):
        return [_array(generator, spec, shape, bounds) for _ in range(_SEQUENCE_LENGTH)]
    return _array(generator, spec, shape, bounds)


def _array(
    generator: Generator, spec: InputSpec, shape: tuple[int, ...], bounds: Range | None
) -> Array:
    integral = spec.dtype.name.startswith(("int", "uint"))
    drawn: object
    if spec.dtype.kind == "O":
        drawn = _WORDS[generator.integers(0, len(_WORDS), shape)]
    elif bounds is not None:
        low, high = bounds
        drawn = (
            generator.integers(int(low), int(high), shape)
            if integral or spec.dtype.kind == "b"
            else generator.uniform(low, high, shape)
        )
    elif integral or spec.dtype.kind == "b":
        drawn = _integers(generator, spec, shape)
    else:
        drawn = _normal(generator, spec, shape)
    return np.asarray(drawn).astype(spec.dtype, copy=False)


def _integers(generator: Generator, spec: InputSpec, shape: tuple[int, ...]) -> Array:
    if _MASK.search(spec.name) and shape:
        mask = generator.random(shape) < 0.75
        mask[..., -1:] = False
        mask[..., :1] = True
        return mask
    if spec.dtype.kind in "iu" and spec.dtype.itemsize == 1:
        limits = np.iinfo(spec.dtype)
        return np.asarray(generator.integers(limits.min, limits.max, shape, endpoint=True))
    if spec.dtype.kind in "iu" and _LENGTH.search(spec.name):
        return np.ones(shape, spec.dtype)
    return np.asarray(generator.integers(0, 2, shape))


def _normal(generator: Generator, spec: InputSpec, shape: tuple[int, ...]) -> Array:
    if spec.dtype == np.float64:
        return np.asarray(generator.standard_normal(shape))
    real = np.asarray(generator.standard_normal(shape, dtype=np.float32))
    if spec.dtype.kind != "c":
        return real
    return real + 1j * generator.standard_normal(shape, dtype=np.float32)
