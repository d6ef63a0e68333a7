"""Single nodes with several channels: what onnx's own cases are too small to show."""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING

from onnxprune.testing.extra import (
    arithmetic,
    convolution,
    movement,
    normalization,
    quantized,
    structure,
)

if TYPE_CHECKING:
    from onnxprune.testing.node_cases import NodeCase

_FAMILIES = (arithmetic, convolution, movement, normalization, quantized, structure)


@functools.cache
def extra_cases() -> tuple[NodeCase, ...]:
    """Return the cases of all families.

    Example:
        >>> len({case.name for case in extra_cases()}) == len(extra_cases())
        True
    """
    return tuple(itertools.chain.from_iterable(family.cases() for family in _FAMILIES))
