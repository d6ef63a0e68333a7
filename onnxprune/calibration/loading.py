"""The samples that pruning is calibrated on: from NumPy files, or made up.

A sample is one run of the model. All files are checked before anything is read, and only the
samples that are wanted are kept in memory.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from onnxprune.calibration.samples import (
    Layout,
    check_count,
    check_names,
    check_symbols,
    convert,
    lay_out,
)
from onnxprune.errors import InvalidConfigError, printable
from onnxprune.io.arrays import open_arrays

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onnxprune.io.arrays import StoredArray
    from onnxprune.runtime.feeds import Feed, FeedRecipe, FeedValue
    from onnxprune.runtime.inputs import InputSpec

__all__ = [
    "DEFAULT_SAMPLES",
    "SYNTHETIC_WARNING",
    "feed_dims",
    "load_calibration",
    "synthetic_calibration",
]

DEFAULT_SAMPLES: Final = 128

SYNTHETIC_WARNING: Final = (
    "no calibration data: random values stand in for it. What they excite in the network is not "
    "what real inputs do, so the wrong channels may leave and repaired weights may fit nothing; "
    "give some dozens of real, unlabelled samples with --calibration"
)

_SUFFIXES: Final = (".npy", ".npz")


@dataclass(frozen=True, slots=True)
class _File:
    """A file that was checked: its arrays by input, and how their samples lie."""

    path: Path
    arrays: Mapping[str, StoredArray]
    layouts: Mapping[str, Layout]
    count: int


def load_calibration(
    path: Path | str,
    specs: Sequence[InputSpec],
    *,
    samples: int = DEFAULT_SAMPLES,
    seed: int = 0,
) -> list[Feed]:
    """Read samples, in the order of their files; if there are more than wanted, some by chance.

    The arrays of a `.npz` file have the names of the inputs; for a model with one input, one array
    of any name will do, and so does a `.npy` file. The files of a directory are taken by name and
    may differ in every open dimension. An array has

    * the shape of its input, with a sample in every row of the first axis; in every so many rows
      where the model fixes its first dimension; one altogether where that is time by its name;
    * or one axis in front of those of its input, with a sample at every index;
    * or one axis less, for a single sample without a batch.

    An input with a fixed first dimension, or without dimensions, may have one value for all.
    Numbers are converted within their kind where they fit.

    Args:
        path: A file or a directory of files.
        specs: The inputs of the model.
        samples: How many are wanted.
        seed: What is drawn is derived from this.

    Raises:
        InvalidConfigError: The data is missing, unreadable, or not what the inputs want.
    """
    check_count(samples)
    location = Path(path)
    files = [_check_file(file, specs) for file in _list_files(location)]
    places = [(file, number) for file in files for number in range(file.count)]
    if len(places) > samples:
        chosen = np.random.default_rng(seed).choice(len(places), samples, replace=False)
        places = [places[i] for i in np.sort(chosen)]
    feeds: list[Feed] = []
    for _, group in itertools.groupby(places, lambda place: place[0].path):
        feeds += _read(list(group), specs)
    return feeds


def synthetic_calibration(recipe: FeedRecipe, *, samples: int, seed: int = 0) -> list[Feed]:
    """Make samples up where there is no data; show `SYNTHETIC_WARNING` with them.

    Args:
        recipe: How to make a feed that the model runs on.
        samples: How many are wanted.
        seed: What is drawn is derived from this.

    Raises:
        InvalidModelError: Nothing can be made up for an input.
    """
    return [replace(recipe, seed=seed + number).make() for number in range(samples)]


def feed_dims(feed: Feed, specs: Sequence[InputSpec]) -> dict[str, int]:
    """Return the sizes that the symbols of the inputs have in a sample.

    Examples:
        >>> from onnxprune.runtime.inputs import InputSpec
        >>> ids = InputSpec("ids", np.dtype(np.int64), ("batch", "T"))
        >>> feed_dims({"ids": np.zeros((1, 7), np.int64)}, [ids])
        {'batch': 1, 'T': 7}
    """
    sizes: dict[str, int] = {}
    for spec in specs:
        value = feed.get(spec.name)
        if isinstance(value, np.ndarray) and spec.dims is not None:
            pairs = zip(spec.dims, value.shape, strict=False)
            sizes.update({dim: size for dim, size in pairs if isinstance(dim, str)})
    return sizes


# --- Files ----------------------------------------------------------------------------------------


def _list_files(path: Path) -> list[Path]:
    if path.is_dir():
        found = [file for file in path.iterdir() if file.suffix in _SUFFIXES and file.is_file()]
        if found:
            return sorted(found)
        message = f"calibration directory '{printable(path)}' holds no .npy or .npz file"
        raise InvalidConfigError(message)
    if path.suffix in _SUFFIXES and path.is_file():
        return [path]
    seen = "is neither" if path.exists() else "does not exist"
    message = f"calibration data '{printable(path)}' {seen}"
    raise InvalidConfigError(message, hint="give a .npy or .npz file, or a directory of them")


def _check_file(path: Path, specs: Sequence[InputSpec]) -> _File:
    where = f"calibration file '{printable(path)}'"
    stored = open_arrays(path)
    if len(specs) == 1 and len(stored) == 1:
        stored = {specs[0].name: next(iter(stored.values()))}
    check_names(stored, specs, where=where)
    layouts = {
        spec.name: lay_out(array.shape, array.dtype, spec, where=where)
        for spec in specs
        if (array := stored.get(spec.name)) is not None
    }
    counts = {lay.count for lay in layouts.values() if not (lay.lone and lay.count == 1)}
    if len(counts) > 1:
        seen = ", ".join(f"'{printable(name)}' {lay.count}" for name, lay in layouts.items())
        message = f"{where} holds different numbers of samples: {seen}"
        raise InvalidConfigError(message, hint="wanted is the same number for every input")
    check_symbols({name: lay.shape for name, lay in layouts.items()}, specs, where=where)
    return _File(path, stored, layouts, counts.pop() if counts else 1)


def _read(places: Sequence[tuple[_File, int]], specs: Sequence[InputSpec]) -> list[Feed]:
    """Return samples of one file; every array is read once."""
    file = places[0][0]
    feeds: list[dict[str, FeedValue]] = [{} for _ in places]
    for spec in specs:
        stored, layout = file.arrays.get(spec.name), file.layouts.get(spec.name)
        if stored is None or layout is None:
            for feed in feeds:
                feed[spec.name] = None
            continue
        array = stored.read()
        for feed, (_, number) in zip(feeds, places, strict=True):
            where = f"calibration file '{printable(file.path)}', sample {number}"
            feed[spec.name] = convert(layout.take(array, number), spec, where=where)
    return list(feeds)
