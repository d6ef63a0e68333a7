"""Slice parameters: which elements of a tensor remain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxprune.errors import PlanMismatchError, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from onnxprune.core.labels import Factors

    Mask = NDArray[np.bool_]


class ParameterCut:
    """What leaves of one parameter.

    Args:
        name: the parameter's name, for messages.
        shape: its shape.
        factors: its labels.
        removed: one flag per label.
    """

    def __init__(self, name: str, shape: Sequence[int], factors: Factors, removed: Mask) -> None:
        self._keep: list[Mask] = [np.ones(size, bool) for size in shape]
        self._rows: tuple[tuple[int, int], Mask] | None = None
        for factor in factors:
            mask = ~removed[factor.labels]
            if len(factor.axes) == 1:
                self._keep[factor.axes[0]] &= mask
            elif not mask.all():
                self._rows = ((factor.axes[0], factor.axes[1]), mask)
        self.shape = self._sizes(name)

    def _sizes(self, name: str) -> tuple[int, ...]:
        sizes = [int(k.sum()) for k in self._keep]
        if self._rows is not None:
            (row, column), mask = self._rows
            counts = (mask & self._keep[column])[self._keep[row]].sum(axis=1)
            if len(counts) and (counts != counts[0]).any():
                message = f"'{printable(name)}': rows would keep different numbers of elements"
                raise PlanMismatchError(message, hint="remove equally many from every row")
            sizes[column] = int(counts[0]) if len(counts) else 0
        if any(size == 0 and len(keep) for size, keep in zip(sizes, self._keep, strict=True)):
            message = f"nothing would remain of '{printable(name)}' along axis {sizes.index(0)}"
            raise PlanMismatchError(message, hint="keep at least one index of every axis")
        return tuple(sizes)

    @property
    def cut(self) -> bool:
        """Whether anything leaves."""
        return self._rows is not None or not all(k.all() for k in self._keep)

    def __call__(self, array: np.ndarray) -> np.ndarray:
        """Return what remains of the parameter's content."""
        blocked = self._rows[0] if self._rows is not None else ()
        for axis, keep in enumerate(self._keep):
            if axis not in blocked and not keep.all():
                array = array.take(np.flatnonzero(keep), axis)
        if self._rows is None:
            return array
        (row, column), mask = self._rows
        both = mask & self._keep[row][:, None] & self._keep[column][None, :]
        moved = np.moveaxis(array, (row, column), (0, 1))
        kept = moved[both].reshape(self.shape[row], self.shape[column], *moved.shape[2:])
        return np.ascontiguousarray(np.moveaxis(kept, (0, 1), (row, column)))
