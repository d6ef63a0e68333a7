"""A table of measured times, and surfaces over numbers of channels between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.costs.estimate import DefaultCosts
from onnxprune.costs.layer import Copy, Layer, Widths, points
from onnxprune.costs.steps import Steps, find_steps, probe_layers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    Measure = Callable[[Sequence[Layer | Copy]], Sequence[float | None]]

__all__ = ["CostTable", "Surface", "grid"]

_FLAT = Steps(1, (1.0,), (1.0,))
_FEW_FROM_BYTES = 1 << 26
"""A layer with heavier weights is measured at fewer widths, and the largest is extended to."""


@dataclass(slots=True, eq=False)
class Surface:
    """Times of one kind of layer over its widths: straight between points, rippled by steps.

    Attributes:
        axes: measured numbers of groups, of channels into and out of each.
        us: times at all combinations.
        steps: the provider's.
    """

    axes: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
    us: NDArray[np.float64]
    steps: Steps = _FLAT
    _known: dict[Widths, float] = field(default_factory=dict)

    def at(self, widths: Widths) -> float:
        """Return the time at some widths."""
        if widths not in self._known:
            self._known[widths] = self._at(widths)
        return self._known[widths]

    def _at(self, widths: Widths) -> float:
        value: NDArray[np.float64] = self.us
        for axis, width in zip(self.axes, widths, strict=True):
            value = _between(axis, value, width)
        ripple = 1.0
        sides = zip(self.axes[1:], widths[1:], (self.steps.inner, self.steps.outer), strict=True)
        for axis, width, factors in sides:
            if width not in axis and axis[0] < width:
                ripple *= factors[width % self.steps.step]
        return max(float(value) * ripple, 1e-3)


def _between(axis: Sequence[int], values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Return values at a width along the first axis.

    Less than the narrowest that was measured saves nothing more; above the widest, the last line
    goes on.
    """
    if len(axis) == 1:
        return np.asarray(values[0] * (width / axis[0]))
    if width < axis[0]:
        return np.asarray(values[0])
    right = int(np.clip(np.searchsorted(axis, width), 1, len(axis) - 1))
    low, high = axis[right - 1], axis[right]
    share = (width - low) / (high - low)
    return np.asarray(values[right - 1] * (1 - share) + values[right] * share)


def grid(largest: Layer, step: int) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Return the widths at which a layer is measured.

    Args:
        largest: the layer as it is.
        step: the provider's.
    """
    grouped = largest.inner > 1 or largest.outer > 1
    heavy = largest.weight_bytes > _FEW_FROM_BYTES and largest.weight
    groups = points(largest.groups, 1 if grouped else step, few=grouped)
    inner, outer = (points(w, step) for w in (largest.inner, largest.outer))
    if not heavy:
        return groups, inner, outer
    most = max(step, int(np.sqrt(_FEW_FROM_BYTES / largest.weight_bytes) * largest.inner))
    most_out = max(step, int(np.sqrt(_FEW_FROM_BYTES / largest.weight_bytes) * largest.outer))
    kept = [tuple(w for w in axis if w <= limit) or axis[:1]
            for axis, limit in ((inner, most), (outer, most_out))]  # fmt: skip
    return groups, kept[0], kept[1]


class CostTable:
    """Measured times; what is missing is measured, and without a way to measure, estimated.

    Args:
        measured: microseconds by layer or copy that are known already, None for what the provider
            does not take; it grows.
        measure: measures layers and copies; None to estimate.
    """

    def __init__(
        self, measured: dict[str, float | None] | None = None, measure: Measure | None = None
    ) -> None:
        self.measured = measured if measured is not None else {}
        self._measure = measure
        self._estimate = DefaultCosts()
        self._surfaces: dict[str, Surface] = {}
        self._steps: dict[str, Steps] = {}

    def fill(self, items: Iterable[Layer | Copy]) -> int:
        """Measure what is not known yet; return how much that was."""
        missing = {i.key: i for i in items if i.key not in self.measured}
        if not missing or self._measure is None:
            return 0
        times = self._measure(list(missing.values()))
        self.measured.update(zip(missing, times, strict=True))
        return len(missing)

    def steps(self, family: str) -> Steps | None:
        """Return the steps of a family of layers, None where they are not known."""
        if family not in self._steps:
            probes = probe_layers(family)
            self.fill([*probes[0], *probes[1]])
            inner, outer = ([self.measured.get(p.key) for p in side] for side in probes)
            known = [[t for t in side if t is not None] for side in (inner, outer)]
            if len(known[0]) < len(inner) or len(known[1]) < len(outer):
                return None
            self._steps[family] = find_steps(*known)
        return self._steps[family]

    def demand(self, layer: Layer) -> list[Layer]:
        """Return the layers whose times make the surface of a layer."""
        return [layer.at(widths) for widths in product(*self._axes(layer))]

    def surface(self, layer: Layer) -> Surface:
        """Return times over the widths of a layer.

        Args:
            layer: the layer at its largest.
        """
        if layer.key not in self._surfaces:
            demanded = self.demand(layer)
            self.fill(demanded)
            times = [self.measured.get(item.key) for item in demanded]
            if None in times:  # estimates and measurements do not mix
                times = [self._estimate.layer_us(item) for item in demanded]
            axes = self._axes(layer)
            us = np.array(times, np.float64).reshape([len(a) for a in axes])
            steps = self._steps.get(layer.family, _FLAT)
            self._surfaces[layer.key] = Surface(axes, us, steps)
        return self._surfaces[layer.key]

    def layer_us(self, layer: Layer) -> float:
        """Return the time of a layer."""
        return self.surface(layer).at(layer.widths)

    def copy_us(self, copy: Copy) -> float:
        """Return the time of a copy."""
        self.fill([copy])
        known = self.measured.get(copy.key)
        return self._estimate.copy_us(copy) if known is None else known

    def _axes(self, layer: Layer) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        known = self.steps(layer.family)
        return grid(layer, known.step if known else 8)
