"""Sizes for the open dimensions of a model's inputs.

A pruned model must be right at every size, so it is run at two settings at least, in which all
symbols have sizes of their own: equal sizes would hide two dimensions that got mixed up. The
defaults are guesses from a symbol's name and place that most networks run with. Nothing in a file
says which sizes a network takes, so sizes that the user gives come first.
"""

from __future__ import annotations

import ast
import itertools
import operator
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from onnxprune.errors import InvalidConfigError, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from onnxprune.runtime.inputs import InputSpec

__all__ = ["choose_dims"]


class _Kind(NamedTuple):
    """A kind of dimension, known by names; its sizes are `first`, `first + step`, ..."""

    names: re.Pattern[str]
    first: int
    step: int


# Image extents are multiples of 32: many networks halve them five times and add the results up.
_BATCH: Final = _Kind(re.compile(r"batch|^(n|b|bs)$", re.IGNORECASE), 2, 1)
_SEQUENCE: Final = _Kind(re.compile(r"seq|past|len|token|time|frame|step", re.IGNORECASE), 16, 8)
_EXTENT: Final = _Kind(re.compile(r"height|width|^[hw]$", re.IGNORECASE), 64, 32)
_AUDIO: Final = _Kind(re.compile(r"sample|audio|wav", re.IGNORECASE), 16000, 1600)

# Sums that exporters give a name of their own.
_NAMED_SUMS: Final = {"total_sequence_length": "past_sequence_length + sequence_length"}
_EXPRESSION_LENGTH: Final = 200
_OPERATIONS: Final[dict[type[ast.operator], Callable[[int, int], int]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
}

_Place = tuple["InputSpec", int]


def choose_dims(
    specs: Sequence[InputSpec], given: Mapping[str, int], *, setting: int
) -> dict[str, int]:
    """Return a size for every symbol of the inputs.

    Symbols that are sums of others ("past + 1", as exporters write them) get the sum; all others
    get sizes distinct from each other's and from those at lower settings.

    Args:
        specs: The inputs.
        given: Sizes that the user wants, by symbol; they hold at every setting.
        setting: Number of the setting, from 0.

    Raises:
        InvalidConfigError: A size is given for a symbol that there is not, or is not a size.

    Examples:
        >>> import numpy as np
        >>> from onnxprune.runtime.inputs import InputSpec
        >>> specs = [InputSpec("ids", np.dtype(np.int64), ("batch", "T"))]
        >>> choose_dims(specs, {}, setting=0), choose_dims(specs, {"T": 5}, setting=1)
        ({'batch': 2, 'T': 16}, {'batch': 3, 'T': 5})
    """
    places: dict[str, _Place] = {}
    for spec in specs:
        for axis, dim in enumerate(spec.dims or ()):
            if isinstance(dim, str):
                places.setdefault(dim, (spec, axis))
    _check_given(given, places)
    sums = {
        symbol: tree
        for symbol in places
        if symbol not in given and (tree := _sum_of_others(symbol, places)) is not None
    }
    free = {symbol: place for symbol, place in places.items() if symbol not in sums}
    sizes = _distinct_sizes(free, given, setting)

    def size_of(symbol: str) -> int:
        return _evaluate(sums[symbol], size_of) if symbol in sums else sizes[symbol]

    return {symbol: _checked_size(symbol, size_of) for symbol in places}


def _check_given(given: Mapping[str, int], places: Mapping[str, _Place]) -> None:
    for symbol, size in given.items():
        if symbol not in places:
            known = ", ".join(printable(name) for name in places) or "none: all sizes are fixed"
            message = f"size given for dimension '{printable(symbol)}', which no input has"
            raise InvalidConfigError(message, hint=f"open dimensions: {known}")
        if size < 0:
            message = f"size {size} given for dimension '{printable(symbol)}'"
            raise InvalidConfigError(message, hint="a size is a whole number from 0")


def _distinct_sizes(
    places: Mapping[str, _Place], given: Mapping[str, int], setting: int
) -> dict[str, int]:
    used = set(given.values())
    sizes = dict(given)
    for _ in range(setting + 1):  # lower settings again, to keep clear of their sizes
        for symbol, (spec, axis) in places.items():
            if symbol not in given:
                kind = _kind(symbol, spec, axis)
                candidates = itertools.count(kind.first, kind.step)
                sizes[symbol] = next(size for size in candidates if size not in used)
                used.add(sizes[symbol])
    return sizes


def _kind(symbol: str, spec: InputSpec, axis: int) -> _Kind:
    dims = spec.dims or ()
    named = symbol != f"{spec.name}:{axis}"
    if named:
        for kind in (_BATCH, _SEQUENCE, _EXTENT):
            if kind.names.search(symbol):
                return kind
    if axis == 0 and len(dims) > 1:
        return _BATCH
    if named and _AUDIO.names.search(symbol):
        return _AUDIO
    channels_last = len(dims) == 4 and isinstance(dims[3], int) and dims[3] <= 4
    if len(dims) >= 4 and (axis in (1, 2) if channels_last else axis >= len(dims) - 2):
        return _EXTENT
    return _BATCH if axis == 0 else _SEQUENCE


def _sum_of_others(symbol: str, places: Mapping[str, _Place]) -> ast.expr | None:
    """Return the expression a symbol stands for; None where it stands for itself."""
    text = _NAMED_SUMS.get(symbol, symbol)
    if text.isidentifier() or len(text) > _EXPRESSION_LENGTH:
        return None
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    understood = all(
        isinstance(node, ast.Name | ast.Load)
        or (isinstance(node, ast.Constant) and type(node.value) is int)
        or (isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS)
        or type(node) in _OPERATIONS
        for node in ast.walk(tree)
    )
    return tree if understood and names and names <= places.keys() else None


def _evaluate(tree: ast.expr, size_of: Callable[[str], int]) -> int:
    match tree:
        case ast.Name(id=name):
            return size_of(name)
        case ast.Constant(value=int(number)):
            return number
        case ast.BinOp(left=left, op=op, right=right):
            return _OPERATIONS[type(op)](_evaluate(left, size_of), _evaluate(right, size_of))
        case _:
            message = f"a {type(tree).__name__} in the expression of a dimension"
            raise AssertionError(message)


def _checked_size(symbol: str, size_of: Callable[[str], int]) -> int:
    try:
        size = size_of(symbol)
    except ZeroDivisionError:
        size = -1
    if size < 0:
        message = f"dimension '{printable(symbol)}' has no size with the sizes of the others"
        raise InvalidConfigError(message, hint="give it a size of its own")
    return size
