"""A table of measured times, and surfaces over numbers of channels between them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.costs.estimate import DefaultCosts
from onnxprune.costs.layer import Blocking, Copy, Copying, Layer, Widths, points
from onnxprune.costs.steps import Steps, depthwise_layers, find_steps, probe_layers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    Measure = Callable[[Sequence[Layer | Copy]], Sequence[float | None]]

__all__ = ["CostTable", "Surface", "copies_of", "grid"]

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
        depthwise: whether every group has one channel.
    """

    axes: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
    us: NDArray[np.float64]
    steps: Steps = _FLAT
    depthwise: bool = False
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
        groups = self.steps.groups if self.depthwise else (1.0,)
        sides = (groups, self.steps.inner, self.steps.outer)
        for axis, width, factors in zip(self.axes, widths, sides, strict=True):
            if width not in axis and axis[0] < width:
                ripple *= factors[width % len(factors)]
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


def copies_of(copy: Copy) -> list[Copy]:
    """Return the copies whose times tell those of all copies of a value.

    Args:
        copy: how, and the channels of the value as `total`.
    """
    whole, half, quarter = copy.total, copy.total // 2, copy.total // 4
    pairs = ((whole, quarter), (whole, whole - quarter), (half, quarter), (half, half))
    return [replace(copy, total=t, kept=k) for t, k in pairs] if quarter else []


class CostTable:
    """Measured times; what is missing is measured, and without a way to measure, estimated.

    Args:
        measured: microseconds by layer or copy that are known already, None for what the provider
            does not take; it grows.
        measure: measures layers and copies; None to estimate.
        blocked: whether images are kept in blocks of channels between convolutions.
    """

    def __init__(
        self,
        measured: dict[str, float | None] | None = None,
        measure: Measure | None = None,
        *,
        blocked: bool = False,
    ) -> None:
        self._blocked = blocked
        self.measured = measured if measured is not None else {}
        self._measure = measure
        self._estimate = DefaultCosts()
        self._surfaces: dict[str, Surface] = {}
        self._copies: dict[str, Copying] = {}
        self._steps: dict[str, Steps] = {}

    @property
    def blocking(self) -> Blocking | None:
        """Return how images are kept in blocks of channels, which are the steps of convolutions."""
        if not self._blocked:
            return None
        estimate, known = self._estimate.blocking, self.steps("Conv float32")
        return replace(estimate, block=max(known.step, estimate.unit)) if known else estimate

    def knows(self, items: Iterable[Layer | Copy]) -> bool:
        """Tell whether all of them were tried on the provider."""
        return all(item.key in self.measured for item in items)

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
            probes = [*probe_layers(family), depthwise_layers(family)]
            self.fill(item for side in probes for item in side)
            inner, outer, groups = ([self.measured.get(p.key) for p in side] for side in probes)
            if None in inner or None in outer:
                return None
            if None in groups:
                groups = []
            sides = ([t for t in side if t is not None] for side in (inner, outer, groups))
            self._steps[family] = find_steps(*sides)
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
            depthwise = layer.inner == layer.outer == 1
            self._surfaces[layer.key] = Surface(axes, us, steps, depthwise)
        return self._surfaces[layer.key]

    def layer_us(self, layer: Layer) -> float:
        """Return the time of a layer."""
        return self.surface(layer).at(layer.widths)

    def over(self, layer: Layer) -> Callable[[Widths], float]:
        """Return the time of a layer at any widths up to those that it has."""
        return self.surface(layer).at

    def copying(self, copy: Copy) -> Copying:
        """Return what copies take of a value that has at most as many channels as this one.

        Args:
            copy: how, and the channels of the whole value as `total`.
        """
        name = replace(copy, kept=copy.total).key
        if name not in self._copies:
            self._copies[name] = self._fitted(copy) or self._estimate.copying(copy)
        return self._copies[name]

    def _fitted(self, copy: Copy) -> Copying | None:
        """Return the plane through what was measured, None where something was not."""
        items = copies_of(copy)
        self.fill(items)
        times = [self.measured.get(item.key) for item in items]
        if not items or None in times:
            return None
        sides = [[1.0, item.total, item.kept] for item in items]
        found, *_ = np.linalg.lstsq(np.array(sides), np.array(times, np.float64), rcond=None)
        return Copying(*np.maximum(found, 0.0).tolist())

    def macs_us(self, count: float) -> float:
        """Return the time of multiply-accumulates of an operator that is no layer."""
        return self._estimate.macs_us(count)

    def bytes_us(self, count: float) -> float:
        """Return the time of an operator that writes some bytes and hardly computes."""
        return self._estimate.bytes_us(count)

    def _axes(self, layer: Layer) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        known = self.steps(layer.family)
        return grid(layer, known.step if known else 8)
