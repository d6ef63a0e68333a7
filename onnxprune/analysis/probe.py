"""Find sizes of symbolic dimensions at which a model fits together.

Nothing in a file says which sizes a network takes. Guesses from names come first, then common image
extents and signal lengths; the first whose shapes agree everywhere is taken.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.core.shapes import concretize
from onnxprune.runtime.dims import choose_dims

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping

    from onnxprune.core.graph import Graph
    from onnxprune.core.shapes import ReadTensor, Shapes
    from onnxprune.runtime.inputs import InputSpec

Settings = tuple[dict[str, int], ...]

_IMAGES = (
    (224, 224),
    (48, 320),
    (256, 256),
    (320, 320),
    (640, 640),
    (512, 512),
    (32, 320),
    (128, 128),
)
_SIGNALS = (512, 576, 16000, 1024, 4096, 32000, 48000, 80)
_SPREAD = 32
_IMAGE_RANK = 4


def candidates(specs: tuple[InputSpec, ...], given: Mapping[str, int]) -> Iterator[Settings]:
    """Yield settings of the symbolic dimensions to try: pairs of different sizes where possible.

    Some exporters give the batch of every input a symbol of its own, so whatever is tried is tried
    with these of one size as well, and with all symbols at one place of inputs of one rank. Others
    leave a batch open that has to be one.
    """
    ways: tuple[tuple[Mapping[str, str], Mapping[str, int]], ...] = (
        ({}, given),
        (_shared(specs, given, lambda _, axis: None if axis else 0), given),
        (_shared(specs, given, lambda rank, axis: (rank, axis) if axis else 0), given),
        ({}, {**dict.fromkeys(_leading(specs), 1), **given}),
    )
    rows = zip_longest(*(_sizes(_renamed(specs, names), fixed) for names, fixed in ways))
    tried: list[Settings] = []
    for row in rows:
        for (names, _), settings in zip(ways, row, strict=True):
            whole = tuple(s | {k: s[v] for k, v in names.items()} for s in settings or ())
            if whole and whole not in tried:
                tried.append(whole)
                yield whole


def _leading(specs: tuple[InputSpec, ...]) -> list[str]:
    """Return the symbols of first axes."""
    first = [spec.dims[0] for spec in specs if spec.dims]
    return [symbol for symbol in first if isinstance(symbol, str)]


def _shared(
    specs: tuple[InputSpec, ...],
    given: Mapping[str, int],
    place: Callable[[int, int], Hashable],
) -> dict[str, str]:
    """Return symbols and the one each is as large as: where `place` of rank and axis is equal."""
    found: dict[Hashable, dict[str, None]] = {}
    for spec in specs:
        for axis, dim in enumerate(spec.dims or ()):
            where = place(len(spec.dims or ()), axis)
            if isinstance(dim, str) and where is not None:
                found.setdefault(where, {})[dim] = None
    names: dict[str, str] = {}
    for symbols in found.values():
        model = next((s for s in symbols if s in given), next(iter(symbols)))
        names |= {s: model for s in symbols if s != model and s not in given and s not in names}
    return {k: v for k, v in names.items() if v not in names}


def _renamed(specs: tuple[InputSpec, ...], names: Mapping[str, str]) -> tuple[InputSpec, ...]:
    """Return the inputs with symbols replaced by those that they are as large as."""

    def named(dim: int | str) -> int | str:
        return names.get(dim, dim) if isinstance(dim, str) else dim

    return tuple(
        replace(spec, dims=tuple(map(named, spec.dims))) if spec.dims else spec for spec in specs
    )


def _sizes(specs: tuple[InputSpec, ...], given: Mapping[str, int]) -> Iterator[Settings]:
    first, second = (choose_dims(specs, given, setting=n) for n in (0, 1))
    if first == second:
        yield (first,)
        return
    yield first, second
    space = _image_symbols(specs, given)
    for height, width in _IMAGES if space else ():
        base = {s: (height, width)[a] for s, a in space.items()}
        wider = {s: (height, width + _SPREAD)[a] for s, a in space.items()}
        yield first | base, second | wider
        yield first | base, second | {s: v + _SPREAD for s, v in base.items()}
        yield first | base, second | base
    signals = _signal_symbols(specs, given)
    others = [s for s in first if ":" in s and s not in given and s not in signals]
    for length in _SIGNALS if signals else ():
        one, two = (dict.fromkeys(signals, n * length) for n in (1, 2))
        yield first | one, second | two
        # dimensions without a name may be the same batch
        ones, twos = dict.fromkeys(others, 1), dict.fromkeys(others, 2)
        yield first | one | ones, second | two | twos
        yield first | one | ones, second | one | twos


def probe(
    specs: tuple[InputSpec, ...], graph: Graph, read: ReadTensor, given: Mapping[str, int]
) -> tuple[Settings, tuple[Shapes, ...]]:
    """Return the first settings at which every shape fits, and the shapes; else the best.

    Args:
        specs: the model's inputs.
        graph: the graph.
        read: returns the content of a parameter's tensor.
        given: sizes that the user wants.
    """
    best: tuple[int, Settings, tuple[Shapes, ...]] | None = None
    for settings in candidates(specs, given):
        shapes = concretize(graph, read, list(settings))
        bad = sum(bool(s.inconsistent) for s in shapes)
        if best is None or bad < best[0]:
            best = bad, settings, shapes
        if not bad:
            break
    assert best is not None
    return best[1], best[2]


def _image_symbols(specs: tuple[InputSpec, ...], given: Mapping[str, int]) -> dict[str, int]:
    """Return symbolic image extents: 0 for the first (height), 1 for the second (width)."""
    found: dict[str, int] = {}
    for spec in specs:
        dims = spec.dims or ()
        if len(dims) != _IMAGE_RANK:
            continue
        channels_last = isinstance(dims[3], int) and not isinstance(dims[1], int)
        for number, axis in enumerate((1, 2) if channels_last else (2, 3)):
            symbol = dims[axis]
            if isinstance(symbol, str) and symbol not in given:
                found.setdefault(symbol, number)
    return found


def _signal_symbols(specs: tuple[InputSpec, ...], given: Mapping[str, int]) -> list[str]:
    """Return the symbolic last axes of float inputs of rank two and three."""
    return [
        spec.dims[-1]
        for spec in specs
        if spec.dims is not None
        and 2 <= len(spec.dims) <= 3
        and np.issubdtype(spec.dtype, np.floating)
        and isinstance(spec.dims[-1], str)
        and spec.dims[-1] not in given
    ]


def compared_values(graph: Graph, read: ReadTensor) -> dict[str, int]:
    """Return for integer inputs the constant they are compared with, a value they surely take.

    A sampling rate that chooses a branch, for example.
    """
    parameters = graph.all_parameters()
    inputs = set(graph.inputs)
    found: dict[str, int] = {}
    for node in graph.all_nodes():
        if node.op != "Equal" or len(node.inputs) != 2:
            continue
        for key, other in (node.inputs, node.inputs[::-1]):
            constant = parameters.get(other)
            if key in inputs and constant is not None and not constant.shape:
                found.setdefault(key, int(read(constant.tensor)))
    return found
