"""How samples lie in arrays, and whether a sample is what an input of the model takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np

from onnxprune.errors import InvalidConfigError, printable
from onnxprune.runtime.batches import TIME

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from onnxprune.runtime.feeds import Array
    from onnxprune.runtime.inputs import InputSpec

__all__ = [
    "Layout",
    "check_count",
    "check_names",
    "check_symbols",
    "convert",
    "describe",
    "lay_out",
    "take_whole",
]

Dims = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """How the samples lie in an array.

    Attributes:
        count: How many there are.
        rows: Rows of the first axis that a sample takes; 0 where the array is one sample, None
            where the first axis is one in front of the input's own.
        shape: Shape of a sample.
        lone: Whether a single one may serve all samples of the other inputs: a state, a setting.
    """

    count: int
    rows: int | None
    shape: tuple[int, ...]
    lone: bool = False

    def take(self, array: Array, number: int) -> Array:
        """Return one sample."""
        number = number if self.count > 1 else 0
        if self.rows is None:
            part = array[number]
        elif self.rows == 0:
            part = array
        else:
            part = array[number * self.rows : (number + 1) * self.rows]
        return np.asarray(part).reshape(self.shape)


def lay_out(shape: tuple[int, ...], dtype: np.dtype[Any], spec: InputSpec, *, where: str) -> Layout:
    """Tell how the samples of an input lie in an array.

    Args:
        shape: The shape of the array.
        dtype: Its type.
        spec: The input.
        where: What to call the array's origin.

    Raises:
        InvalidConfigError: They are not samples of this input.
    """
    layout = None
    if spec.container in ("tensor", "optional") and 0 not in shape:
        layout = _find(spec.dims, shape)
    if layout is None or not _same_kind(dtype, spec.dtype):
        raise _mismatch(shape, dtype, spec, where)
    return layout


def _find(dims: Dims | None, shape: tuple[int, ...]) -> Layout | None:
    if dims is None:
        return Layout(shape[0], 1, (1, *shape[1:])) if shape else Layout(1, 0, (), lone=True)
    lone = not dims or isinstance(dims[0], int)
    if len(shape) == len(dims) + 1 and _fits(dims, shape[1:]):
        return Layout(shape[0], None, shape[1:], lone=lone)
    if not dims:
        return None if shape else Layout(1, 0, (), lone=True)
    if len(shape) == len(dims) and _fits(dims[1:], shape[1:]):
        return _find_rows(dims, shape)
    if len(shape) == len(dims) - 1 and _fits(dims[1:], shape) and (dims[0] == 1 or not lone):
        return Layout(1, 0, (1, *shape), lone=lone)
    return None


def _find_rows(dims: Dims, shape: tuple[int, ...]) -> Layout | None:
    first = dims[0]
    if isinstance(first, str):
        if TIME.search(first) or (len(dims) == 1 and "sample" in first):
            return Layout(1, 0, shape)
        return Layout(shape[0], 1, (1, *shape[1:]))
    if first == 0 or shape[0] % first:
        return None
    return Layout(shape[0] // first, first, (first, *shape[1:]), lone=True)


def _fits(dims: Dims, shape: tuple[int, ...]) -> bool:
    return len(dims) == len(shape) and all(
        isinstance(dim, str) or dim == size for dim, size in zip(dims, shape, strict=True)
    )


def check_count(samples: int) -> None:
    """Refuse to look for less than one sample."""
    if samples < 1:
        message = f"{samples} calibration samples are asked for, wanted is a number from 1"
        raise InvalidConfigError(message)


def check_names(given: Mapping[str, object], specs: Iterable[InputSpec], *, where: str) -> None:
    """Check that there is a value for every input, and none besides.

    Args:
        given: The values.
        specs: The inputs.
        where: What to call the values' origin.

    Raises:
        InvalidConfigError: A name is missing, or is of no input.
    """
    wanted = {spec.name for spec in specs}
    required = {spec.name for spec in specs if not spec.container.startswith("optional")}
    if required <= set(given) <= wanted:
        return
    seen = ", ".join(f"'{printable(name)}'" if name else "one without a name" for name in given)
    inputs = ", ".join(f"'{printable(spec.name)}' {describe(spec)}" for spec in specs)
    message = f"{where}: seen arrays {seen or 'none'}; wanted one for every input: {inputs}"
    raise InvalidConfigError(message, hint="name the arrays like the inputs of the model")


def check_symbols(
    shapes: Mapping[str, tuple[int, ...]], specs: Iterable[InputSpec], *, where: str
) -> None:
    """Check that a symbol of several inputs has one size in a sample.

    Only symbols that are plain names are taken at their word: exporters write "?" for any size.

    Args:
        shapes: The shapes of a sample, by input.
        specs: The inputs.
        where: What to call the sample's origin.

    Raises:
        InvalidConfigError: A symbol has two sizes.
    """
    found: dict[str, tuple[int, str]] = {}
    for spec in specs:
        own = zip(spec.dims or (), shapes.get(spec.name, ()), strict=False)
        for symbol, size in own:
            if not isinstance(symbol, str) or not symbol.isidentifier():
                continue
            other, name = found.setdefault(symbol, (size, spec.name))
            if other != size and name != spec.name:
                message = f"{where}: dimension '{printable(symbol)}' is {other} in input"
                message += f" '{printable(name)}' and {size} in input '{printable(spec.name)}'"
                raise InvalidConfigError(message, hint="wanted is one size in a sample")


def convert(array: Array, spec: InputSpec, *, where: str) -> Array:
    """Return a copy in the input's type, after a look at every number.

    Minus infinity is fine: attention masks are made of it.

    Args:
        array: The sample, in a type of the same kind.
        spec: The input.
        where: What to call the sample's origin.

    Raises:
        InvalidConfigError: A number is NaN or infinite, or does not fit the input's type.
    """
    wanted = spec.dtype
    if array.dtype.kind == "V" and array.dtype.type is np.void:  # how NumPy saves types of others
        array = array.view(wanted)
    if wanted.kind == "O":
        texts = array.astype(np.str_) if array.dtype.kind == "S" else array
        return texts.astype(object)
    with np.errstate(over="ignore", invalid="ignore"):
        converted = np.array(array, dtype=wanted, order="C", copy=True)
    kind = _kind(wanted)
    if kind in ("float", "complex"):
        bad = np.isnan(converted) | (np.isinf(converted) & ~(converted == -np.inf))
    elif kind == "int":
        bad = converted.astype(object) != array.astype(object)
    else:
        return converted
    if bad.any():
        place = tuple(int(i) for i in np.argwhere(bad)[0])
        message = f"{where}, input '{printable(spec.name)}': seen {array[place]} at {list(place)}"
        message += f" and {int(bad.sum())} such values in all, wanted is {wanted} that is finite"
        raise InvalidConfigError(message, hint="see how the data was made")
    return converted


def take_whole(value: object, spec: InputSpec, *, where: str) -> Array:
    """Return one sample as an input takes it.

    Args:
        value: What is to become the sample.
        spec: The input.
        where: What to call the sample's origin.

    Raises:
        InvalidConfigError: It is no array of the input's shape and type, or has bad numbers.
    """
    try:
        array = np.asarray(value)
    except ValueError:  # (lists of different lengths)
        array = np.asarray(None)
    fitting = spec.dims is None or _fits(spec.dims, array.shape)
    if not fitting or not array.size or not _same_kind(array.dtype, spec.dtype):
        raise _mismatch(array.shape, array.dtype, spec, where)
    return convert(array, spec, where=where)


def describe(spec: InputSpec) -> str:
    """Return type and dimensions of an input, in words."""
    dims = "" if spec.dims is None else f" [{', '.join(printable(dim) for dim in spec.dims)}]"
    kind = "str" if spec.dtype.kind == "O" else spec.dtype.name
    return f"{kind}{dims}" if spec.container == "tensor" else f"{spec.container} of {kind}{dims}"


def _kind(dtype: np.dtype[Any]) -> str:
    if dtype.name.startswith(("int", "uint")):
        return "int"
    if dtype.name.startswith(("float", "bfloat")):
        return "float"
    return {"b": "bool", "c": "complex", "O": "text", "U": "text", "S": "text"}.get(dtype.kind, "")


def _same_kind(seen: np.dtype[Any], wanted: np.dtype[Any]) -> bool:
    if seen.kind == "V" and seen.type is np.void:
        return wanted.type.__module__ == ml_dtypes.__name__ and seen.itemsize == wanted.itemsize
    return _kind(seen) == _kind(wanted) != ""


def _mismatch(
    shape: tuple[int, ...], dtype: np.dtype[Any], spec: InputSpec, where: str
) -> InvalidConfigError:
    message = f"{where}, input '{printable(spec.name)}': seen {dtype} {list(shape)}, wanted"
    message += f" {describe(spec)}"
    first = spec.dims[0] if spec.dims else None
    if spec.container not in ("tensor", "optional"):
        hint = "no array can hold it: give a function that yields feeds"
    elif not _same_kind(dtype, spec.dtype):
        hint = "convert and scale the values as the model's own preprocessing does"
    elif isinstance(first, int) and first > 1:
        hint = f"samples are {first} rows of the first axis each, or stacked on an axis in front"
    else:
        hint = "samples are rows of the first axis, or stacked on an axis in front"
    return InvalidConfigError(message, hint=hint)
