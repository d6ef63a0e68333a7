"""Corruptions of samples, to see whether pruning made a network easier to disturb.

After Hendrycks and Dietterich, "Benchmarking neural network robustness to common corruptions and
perturbations" (ICLR 2019): five severities each. Networks are fed in ranges of their own, so all is
relative to the range that an input has in the data, per channel of an image, and stays inside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from onnxprune.audit.images import channel_axis, value_range

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from onnxprune.runtime.feeds import Array, Feed, FeedValue

    Corrupt = Callable[[Array, float, np.random.Generator], Array]

__all__ = ["SEVERITIES", "Corruptor", "applicable"]

SEVERITIES: Final = (1, 2, 3, 4, 5)


def _noise(values: Array, amount: float, random: np.random.Generator) -> Array:
    return values + random.normal(0.0, amount, values.shape)


def _blur(values: Array, amount: float, _random: np.random.Generator) -> Array:
    from scipy.ndimage import gaussian_filter  # noqa: PLC0415  # takes time to load

    axis = channel_axis(values)
    sides = [a for a in (1, 2, 3) if a != axis]
    # Pixels at 32 on a side; larger images are blurred as much for the eye.
    wide = amount * max(1.0, min(values.shape[a] for a in sides) / 32)
    blurred: Array = gaussian_filter(values, wide, axes=sides, mode="nearest")
    return blurred


def _contrast(values: Array, amount: float, _random: np.random.Generator) -> Array:
    axis = channel_axis(values)
    middle = values.mean(axis=tuple(a for a in (1, 2, 3) if a != axis), keepdims=True)
    return np.asarray((values - middle) * amount + middle)


def _brightness(values: Array, amount: float, _random: np.random.Generator) -> Array:
    return np.asarray(values + amount)


_TABLE: Final[dict[str, tuple[Corrupt, tuple[float, ...]]]] = {
    "gaussian-noise": (_noise, (0.08, 0.12, 0.18, 0.26, 0.38)),
    "blur": (_blur, (0.4, 0.6, 0.7, 0.8, 1.0)),
    "contrast": (_contrast, (0.4, 0.3, 0.2, 0.1, 0.05)),
    "brightness": (_brightness, (0.1, 0.2, 0.3, 0.4, 0.5)),
}
"""What is done to values from 0 to 1, and how much at each severity: the amounts of ImageNet-C for
noise, contrast and brightness, and of CIFAR-10-C for blur."""

_FOR_ANY: Final = ("gaussian-noise",)


def applicable(feed: Feed) -> tuple[str, ...]:
    """Return the corruptions that samples like this one can have.

    Examples:
        >>> applicable({"x": np.zeros((1, 3, 8, 8), np.float32)})
        ('gaussian-noise', 'blur', 'contrast', 'brightness')
        >>> applicable({"x": np.zeros((1, 7), np.float32)})
        ('gaussian-noise',)
        >>> applicable({"ids": np.zeros((1, 7), np.int64)})
        ()
    """
    names, images = _targets(feed)
    return tuple(_TABLE) if images else _FOR_ANY if names else ()


def _targets(feed: Feed) -> tuple[list[str], bool]:
    """Return the inputs that are corrupted: the images if there are any, else all fractions."""
    images = [name for name, value in feed.items() if channel_axis(value) is not None]
    if images:
        return images, True
    fractions = [
        name
        for name, value in feed.items()
        if isinstance(value, np.ndarray) and value.dtype.kind == "f"
    ]
    return fractions, False


class Corruptor:
    """Corrupts samples of a data set; the same every time for every model."""

    def __init__(self, feeds: Sequence[Feed], *, seed: int = 0) -> None:
        self._names, _ = _targets(feeds[0])
        self._ranges = {name: value_range(feeds, name) for name in self._names}
        self._seed = seed

    def corrupt(self, feed: Feed, number: int, corruption: str, severity: int) -> Feed:
        """Return a corrupted copy of a sample.

        Args:
            feed: the sample.
            number: its number in the data; noise is derived from it.
            corruption: what to do, one of `applicable`.
            severity: from 1 to 5.
        """
        function, amounts = _TABLE[corruption]
        place = list(_TABLE).index(corruption)
        random = np.random.default_rng([self._seed, place, number])
        changed: dict[str, FeedValue] = dict(feed)
        for name in self._names:
            array = feed[name]
            assert isinstance(array, np.ndarray)
            low, high = self._ranges[name]
            span = np.where(high > low, high - low, 1.0)
            scaled = (array.astype(np.float64) - low) / span
            values = np.clip(function(scaled, amounts[severity - 1], random), 0, 1) * span + low
            if array.dtype == np.uint8:
                values = values.round()
            changed[name] = values.astype(array.dtype)
        return changed
