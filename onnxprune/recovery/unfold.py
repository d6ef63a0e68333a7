"""Turn the input and output of a linear operator into rows of a least-squares problem."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from onnxprune.core.graph import Node

Pair = tuple[np.ndarray, np.ndarray]

_CHUNK = 1 << 19
"""Elements of a block of rows."""


def same_pads(missing: int, auto_pad: str) -> tuple[int, int]:
    """Return the zeros before and after an axis that lacks some, where both sides share them.

    Args:
        missing: how many it lacks; none if negative.
        auto_pad: SAME_UPPER or SAME_LOWER.
    """
    total = max(0, missing)
    before = (total + (auto_pad == "SAME_LOWER")) // 2
    return before, total - before


def _coprime(step: int, extents: Sequence[int]) -> int:
    """Return the next step that meets all columns and rows of a grid alike.

    Every eighth position of an eight wide image is at its left border, where windows see padding.
    """
    while any(math.gcd(step, n) > 1 for n in extents if n > 1):
        step += 1
    return step


@dataclass(frozen=True, slots=True)
class Product:
    """Rows of a matrix product.

    Attributes:
        inner: summed axis of the input, counted from the end.
        outer: axis of the output that the weight makes, counted from the end.
    """

    inner: int
    outer: int
    kernel: int = 1

    def blocks(self, x: np.ndarray, y: np.ndarray, step: int) -> Iterator[Pair]:
        """Yield matching rows [1, rows, features] and [1, rows, outputs]."""
        left = np.moveaxis(x, self.inner, -1)
        right = np.moveaxis(y, self.outer, -1)
        left = left.reshape(-1, left.shape[-1])[::step]
        right = right.reshape(-1, right.shape[-1])[::step]
        size = max(1, _CHUNK // max(1, left.shape[1] + right.shape[1]))
        for start in range(0, len(left), size):
            yield left[None, start : start + size], right[None, start : start + size]

    def step(self, wanted: float, x: np.ndarray, y: np.ndarray) -> int:  # noqa: ARG002
        """Return a step for `blocks` of about a wanted size that takes rows of all kinds."""
        inner = self.inner % x.ndim
        return _coprime(max(1, int(wanted)), [n for a, n in enumerate(x.shape) if a != inner])

    def rows(self, x: np.ndarray, y: np.ndarray) -> int:  # noqa: ARG002 - as for convolutions
        """Return how many rows there are."""
        return int(x.size // x.shape[self.inner])


@dataclass(frozen=True, slots=True)
class Convolution:
    """Rows of a convolution: one per output position, the kernel's window of each input channel.

    A transposed convolution is one over an input spread out by its strides.

    Attributes:
        groups: channel groups.
        window: kernel extents.
        strides: strides.
        dilations: dilations.
        pads: zeros before and after each axis; None for what `auto_pad` says.
        auto_pad: the attribute.
        spread: strides of a transposed convolution, else ones.
    """

    groups: int
    window: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[tuple[int, int], ...] | None
    auto_pad: str = "NOTSET"
    spread: tuple[int, ...] = ()

    @property
    def kernel(self) -> int:
        """Elements of the kernel."""
        return int(np.prod(self.window))

    def blocks(self, x: np.ndarray, y: np.ndarray, step: int) -> Iterator[Pair]:
        """Yield matching rows [groups, rows, features] and [groups, rows, outputs / groups]."""
        space = y.shape[2:]
        positions = int(np.prod(space))
        per_sample = positions * x.shape[1] * self.kernel // step + 1
        some = max(1, _CHUNK // per_sample)
        for start in range(0, len(x), some):
            part = self._padded(x[start : start + some], space)
            windows = self._windows(part, space)  # n, c, space.., window..
            n, c, k = len(windows), windows.shape[1], self.kernel
            rank = len(space)
            out = y[start : start + some].reshape(n, y.shape[1], positions)
            if step > 1:
                chosen = np.arange(start % step, positions, step)
                at: tuple[Any, ...] = (slice(None), slice(None), *np.unravel_index(chosen, space))
                windows = windows[at]  # n, c, rows, window..
                out, rank = out[:, :, chosen], 1
            count = windows.shape[2 : 2 + rank]
            rows = np.moveaxis(windows, 1, 1 + rank).reshape(n * int(np.prod(count)), c * k)
            targets = out.transpose(0, 2, 1).reshape(len(rows), -1)
            g = self.groups
            yield (
                rows.reshape(len(rows), g, -1).transpose(1, 0, 2),
                targets.reshape(len(rows), g, -1).transpose(1, 0, 2),
            )

    def step(self, wanted: float, x: np.ndarray, y: np.ndarray) -> int:  # noqa: ARG002
        """Return a step for `blocks` of about a wanted size that takes rows of all kinds."""
        return _coprime(max(1, int(wanted)), y.shape[2:])

    def rows(self, x: np.ndarray, y: np.ndarray) -> int:
        """Return how many rows there are."""
        return len(x) * int(np.prod(y.shape[2:]))

    def _padded(self, x: np.ndarray, space: tuple[int, ...]) -> np.ndarray:
        if any(s > 1 for s in self.spread):
            sizes = [(n - 1) * s + 1 for n, s in zip(x.shape[2:], self.spread, strict=True)]
            wide = np.zeros((*x.shape[:2], *sizes), x.dtype)
            wide[(slice(None), slice(None), *(slice(None, None, s) for s in self.spread))] = x
            x = wide
        pads = []
        for axis, size in enumerate(space):
            reach = (size - 1) * self.strides[axis] + 1
            reach += (self.window[axis] - 1) * self.dilations[axis]
            missing = reach - x.shape[2 + axis]
            if self.pads is None:
                pads.append(same_pads(missing, self.auto_pad))
            else:
                before = self.pads[axis][0]
                pads.append((before, max(0, missing - before)))
        return np.pad(x, [(0, 0), (0, 0), *pads])

    def _windows(self, x: np.ndarray, space: tuple[int, ...]) -> np.ndarray:
        reach = [(w - 1) * d + 1 for w, d in zip(self.window, self.dilations, strict=True)]
        axes = tuple(range(2, x.ndim))
        view = np.lib.stride_tricks.sliding_window_view(x, reach, axes)
        picks = [slice(0, (n - 1) * s + 1, s) for n, s in zip(space, self.strides, strict=True)]
        inner = [slice(None, None, d) for d in self.dilations]
        return view[(slice(None), slice(None), *picks, *inner)]


def convolution_of(node: Node, weight_shape: tuple[int, ...]) -> Convolution | None:
    """Describe the rows of a Conv or ConvTranspose; None where they are not supported."""
    window = weight_shape[2:]
    rank = len(window)
    ones = (1,) * rank
    strides = tuple(node.attribute("strides") or ones)
    dilations = tuple(node.attribute("dilations") or ones)
    auto = str(node.attribute("auto_pad", "NOTSET"))
    given = node.attribute("pads")
    pads: tuple[tuple[int, int], ...] | None = tuple(
        (given[a], given[a + rank]) if given is not None else (0, 0) for a in range(rank)
    )
    if auto == "VALID":
        pads = ((0, 0),) * rank
    elif auto in ("SAME_UPPER", "SAME_LOWER"):
        pads = None
    groups = int(node.attribute("group", 1))
    if node.op == "Conv":
        return Convolution(groups, window, strides, dilations, pads, auto, ones)
    if pads is None or node.attribute("output_shape") is not None or min(min(p) for p in pads) < 0:
        return None
    around = [((w - 1) * d) for w, d in zip(window, dilations, strict=True)]
    if any(around[a] < pads[a][0] for a in range(rank)):
        return None
    turned = tuple((around[a] - pads[a][0], around[a] - pads[a][1]) for a in range(rank))
    return Convolution(groups, window, ones, dilations, turned, "NOTSET", strides)
