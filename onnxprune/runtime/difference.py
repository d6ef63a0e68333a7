"""How the values of one output differ between two models.

Floating-point values are measured. Everything else must be equal, and is counted: integers,
booleans, strings, shapes, element types, and where NaN and infinity are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnxprune.runtime.feeds import Array

__all__ = ["OutputDifference", "measure"]

# Elements compared at a time: they are widened to double precision.
_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class OutputDifference:
    """How one output differs, over one feed or over many.

    Attributes:
        name: Name of the output.
        max_abs: Largest absolute difference, of elements that are finite in both models.
        max_rel: Largest over the feeds of: the absolute difference divided by the largest finite
            magnitude in the first model's output.
        scale: Largest finite magnitude in the first model's output.
        elements: Elements compared.
        mismatches: Unequal elements among integers, booleans and strings.
        nonfinite: Elements that are NaN or infinite in the first model.
        nonfinite_mismatches: Elements NaN or infinite in one model and not the same in the other.
        telling: Whether the first model gave anything but one value over and over, or no number.
        shapes_equal: Whether shapes are the same, and so are the lengths of sequences.
        dtypes_equal: Whether element types are the same.
        detail: The first difference in shape or type, in words.
    """

    name: str
    max_abs: float = 0.0
    max_rel: float = 0.0
    scale: float = 0.0
    elements: int = 0
    mismatches: int = 0
    nonfinite: int = 0
    nonfinite_mismatches: int = 0
    telling: bool = field(default=False, compare=False)
    shapes_equal: bool = True
    dtypes_equal: bool = True
    detail: str = ""

    @property
    def comparable(self) -> bool:
        """Whether everything is the same that `max_abs` and `max_rel` do not tell."""
        exact = self.mismatches == 0 and self.nonfinite_mismatches == 0
        return exact and self.shapes_equal and self.dtypes_equal

    def merged(self, other: OutputDifference) -> OutputDifference:
        """Return the difference over the feeds of both."""
        return OutputDifference(
            self.name,
            max_abs=max(self.max_abs, other.max_abs),
            max_rel=max(self.max_rel, other.max_rel),
            scale=max(self.scale, other.scale),
            elements=self.elements + other.elements,
            mismatches=self.mismatches + other.mismatches,
            nonfinite=self.nonfinite + other.nonfinite,
            nonfinite_mismatches=self.nonfinite_mismatches + other.nonfinite_mismatches,
            telling=self.telling or other.telling,
            shapes_equal=self.shapes_equal and other.shapes_equal,
            dtypes_equal=self.dtypes_equal and other.dtypes_equal,
            detail=self.detail or other.detail,
        )


def measure(
    name: str, wanted: Sequence[Array | None] | None, seen: Sequence[Array | None] | None
) -> OutputDifference:
    """Compare the arrays of one output for one feed.

    Args:
        name: Name of the output.
        wanted: What the first model gave; None where it has no such output.
        seen: What the second model gave.

    Examples:
        >>> difference = measure("y", [np.array([1.0, 4.0])], [np.array([1.0, 5.0])])
        >>> difference.max_abs, difference.max_rel
        (1.0, 0.25)
    """
    if wanted is None or seen is None or len(wanted) != len(seen):
        return _misshapen(name, _count(wanted), _count(seen))
    total = OutputDifference(name)
    for one, other in zip(wanted, seen, strict=True):
        total = total.merged(_pair(name, one, other))
    if total.max_abs == 0.0:
        return total
    return replace(total, max_rel=total.max_abs / total.scale if total.scale else math.inf)


def _pair(name: str, wanted: Array | None, seen: Array | None) -> OutputDifference:
    if wanted is None and seen is None:
        return OutputDifference(name)
    if wanted is None or seen is None or wanted.shape != seen.shape:
        return _misshapen(name, _shape(wanted), _shape(seen))
    if _type(wanted) != _type(seen):
        detail = f"element type {_type(seen)} instead of {_type(wanted)}"
        return OutputDifference(name, dtypes_equal=False, detail=detail)
    if _type(wanted).startswith(("bool", "int", "string", "uint")):
        unequal = int(np.count_nonzero(wanted != seen))
        return OutputDifference(name, elements=wanted.size, mismatches=unequal, telling=True)
    total = OutputDifference(name)
    for start in range(0, wanted.size, _CHUNK):
        chunk = slice(start, start + _CHUNK)
        total = total.merged(_floats(name, wanted.reshape(-1)[chunk], seen.reshape(-1)[chunk]))
    return total


def _floats(name: str, wanted: Array, seen: Array) -> OutputDifference:
    wide = np.complex128 if wanted.dtype.kind == "c" else np.float64
    with np.errstate(all="ignore"):  # signalling NaNs
        one, other = wanted.astype(wide), seen.astype(wide)
    finite = np.isfinite(one)
    both = finite & np.isfinite(other)
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    return OutputDifference(
        name,
        max_abs=float(np.abs(one[both] - other[both]).max(initial=0.0)),
        scale=float(np.abs(one[finite]).max(initial=0.0)),
        elements=one.size,
        nonfinite=int(np.count_nonzero(~finite)),
        nonfinite_mismatches=int(np.count_nonzero(~both & ~same)),
        telling=bool(finite.any() and (one.size == 1 or (one[finite] != one[finite][0]).any())),
    )


def _misshapen(name: str, wanted: str, seen: str) -> OutputDifference:
    return OutputDifference(name, shapes_equal=False, detail=f"{seen} instead of {wanted}")


def _count(arrays: Sequence[Array | None] | None) -> str:
    return "no output" if arrays is None else f"{len(arrays)} elements"


def _shape(array: Array | None) -> str:
    return "no value" if array is None else f"shape {list(array.shape)}"


def _type(array: Array) -> str:
    # Strings arrive as objects, or as fixed-width text where they were the keys of a map.
    return "string" if array.dtype.kind in "OUS" else array.dtype.name
