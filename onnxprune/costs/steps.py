"""In which steps of channels a provider works: what an operator takes at every number of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.costs.layer import Layer

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Steps", "depthwise_layers", "find_steps", "probe_layers"]

_FROM, _TO = 33, 64
_STEPS = (1, 2, 4, 8, 16, 32)
_WORTH = 0.02
"""A smaller step is taken unless a larger one saves so much of the time per channel."""


@dataclass(frozen=True, slots=True)
class Steps:
    """The step of channels that pays, and the time between its multiples.

    Attributes:
        step: what is kept should be a multiple of it.
        inner: by channels above a multiple of the step, time relative to the straight line between
            that multiple and the next; for channels that go in.
        outer: the same for channels that come out.
        groups: the same for channels of a depthwise convolution.
    """

    step: int
    inner: tuple[float, ...]
    outer: tuple[float, ...]
    groups: tuple[float, ...] = (1.0,)


def probe_layers(family: str) -> tuple[list[Layer], list[Layer]]:
    """Return layers with every number of channels in a range: going in, and coming out.

    Args:
        family: `Layer.family`.
    """
    shape, _, dtype = family.partition(" ")
    layer = Layer("MatMul", dtype, 1, (128,), 1, _TO, _TO)
    if shape == "Conv":
        pads = (("pads", (1, 1, 1, 1)),)
        layer = Layer("Conv", dtype, 1, (28, 28), 1, _TO, _TO, (3, 3), pads)
    counts = range(_FROM - 1, _TO + 1)
    return [replace(layer, inner=c) for c in counts], [replace(layer, outer=c) for c in counts]


def depthwise_layers(family: str) -> list[Layer]:
    """Return depthwise convolutions with every number of channels in a range.

    Args:
        family: `Layer.family`; products have none.
    """
    shape, _, dtype = family.partition(" ")
    if shape != "Conv":
        return []
    pads = (("pads", (1, 1, 1, 1)),)
    layer = Layer("Conv", dtype, 1, (28, 28), _TO, 1, 1, (3, 3), pads)
    return [replace(layer, groups=c) for c in range(_FROM - 1, _TO + 1)]


def find_steps(
    inner_us: Sequence[float], outer_us: Sequence[float], depthwise_us: Sequence[float] = ()
) -> Steps:
    """Return the step that pays.

    A channel goes out of one layer and into the next, so both times add up. Among the multiples of
    a step, the mean time per kept channel tells what the step is worth.

    Args:
        inner_us: times of the first layers of `probe_layers`.
        outer_us: times of the others.
        depthwise_us: times of `depthwise_layers`, where there are any.

    Examples:
        >>> blocks = [-(-c // 16) * 10.0 for c in range(32, 65)]
        >>> find_steps(blocks, blocks).step
        16
    """
    counts = np.arange(_FROM - 1, _TO + 1)
    curves = [np.asarray(t, np.float64) for t in (inner_us, outer_us)]
    each = sum(c / c[-1] for c in curves) / counts
    prices = {s: float(each[counts % s == 0].mean()) for s in _STEPS}
    least = min(prices.values())
    step = next(s for s in _STEPS if prices[s] <= least * (1 + _WORTH))
    first, second = (_ripple(c, counts, step) for c in curves)
    if not len(depthwise_us):
        return Steps(step, first, second)
    groups = _ripple(np.asarray(depthwise_us, np.float64), counts, step)
    return Steps(step, first, second, groups)


def _ripple(curve: np.ndarray, counts: np.ndarray, step: int) -> tuple[float, ...]:
    knots = counts[counts % step == 0]
    straight = np.interp(counts, knots, curve[counts % step == 0])
    ratio = curve / straight
    return tuple(round(float(ratio[counts % step == r].mean()), 4) for r in range(step))
