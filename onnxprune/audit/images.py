"""Which inputs are images, how their channels lie, and small pictures of them."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from onnxprune.runtime.feeds import Array, Feed

__all__ = ["channel_axis", "thumbnail", "value_range"]

_CHANNELS: Final = (1, 3, 4)
_SMALLEST: Final = 4
_SIDE: Final = 64


def channel_axis(array: object) -> int | None:
    """Return the axis of the colours of a batch of images, None where it is none.

    Images have four axes, 1, 3 or 4 channels behind the batch or at the end, and whole numbers from
    0 to 255 or fractions.

    Examples:
        >>> channel_axis(np.zeros((1, 3, 32, 32), np.float32)), channel_axis(np.zeros((1, 8)))
        (1, None)
    """
    if not isinstance(array, np.ndarray) or array.ndim != 4:
        return None
    if array.dtype.kind != "f" and array.dtype != np.uint8:
        return None
    for axis, sides in ((1, array.shape[2:]), (3, array.shape[1:3])):
        if array.shape[axis] in _CHANNELS and min(sides) >= _SMALLEST:
            return axis
    return None


def value_range(feeds: Sequence[Feed], name: str) -> tuple[Array, Array]:
    """Return the smallest and the largest value of an input; of an image by channel, [1 c 1 1]."""
    lows, highs = [], []
    for feed in feeds:
        array = feed[name]
        assert isinstance(array, np.ndarray)
        channel = channel_axis(array)
        axes = tuple(a for a in range(array.ndim) if a != channel)
        numbers = array.astype(np.float64)
        lows.append(numbers.min(axis=axes, keepdims=True))
        highs.append(numbers.max(axis=axes, keepdims=True))
    if len({low.ndim for low in lows}) > 1:
        lows, highs = ([v.reshape(-1) for v in values] for values in (lows, highs))
    low: Array = np.min(np.stack(lows), axis=0)
    high: Array = np.max(np.stack(highs), axis=0)
    return low, high


def thumbnail(image: Array, low: Array, high: Array) -> str:
    """Return an image as a PNG in base64, with at most 64 pixels on a side.

    Args:
        image: [1 c h w] or [1 h w c].
        low: value that becomes black, by channel.
        high: value that becomes white, by channel.
    """
    span = np.where(high > low, high - low, 1.0)
    shades = np.clip((image.astype(np.float64) - low) / span * 255, 0, 255).round()
    pixels = np.moveaxis(shades.astype(np.uint8), channel_axis(image) or 1, -1)[0]
    step = -(-max(pixels.shape[:2]) // _SIDE)
    pixels = pixels[::step, ::step, :3]
    return base64.b64encode(_png(pixels)).decode()


def _png(pixels: NDArray[Any]) -> bytes:
    """Return a PNG file: ISO/IEC 15948, 8 bits, grey or RGB, no filter.

    Args:
        pixels: [h w 1] or [h w 3].
    """
    height, width, channels = pixels.shape
    lines = np.zeros((height, 1 + width * channels), np.uint8)  # a filter of 0 begins every line
    lines[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">2I5B", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )
