"""Corruptions stay in the data's range and are the same every time; thumbnails are PNG files."""

from __future__ import annotations

import base64
import io

import matplotlib.image
import numpy as np
import pytest

from onnxprune.audit.corruption import SEVERITIES, Corruptor, applicable
from onnxprune.audit.images import thumbnail, value_range

SHAPES = [((1, 3, 16, 12), np.float32), ((1, 16, 12, 3), np.uint8), ((1, 1, 8, 8), np.float16),
          ((1, 7), np.float32)]  # fmt: skip


@pytest.mark.parametrize(("shape", "dtype"), SHAPES, ids=str)
def test_corruptions(shape: tuple[int, ...], dtype: type) -> None:
    random = np.random.default_rng(0)
    feeds = [{"x": (random.random(shape) * 200 + 20).astype(dtype)} for _ in range(3)]
    low, high = value_range(feeds, "x")
    corruptor = Corruptor(feeds, seed=1)
    names = applicable(feeds[0])
    assert len(names) == (4 if len(shape) == 4 else 1)
    for name in names:
        change = []
        for severity in SEVERITIES:
            made = corruptor.corrupt(feeds[1], 1, name, severity)["x"]
            again = Corruptor(feeds, seed=1).corrupt(feeds[1], 1, name, severity)["x"]
            assert made.dtype == feeds[1]["x"].dtype
            assert np.array_equal(made, again)
            assert (made >= low - 1).all()
            assert (made <= high + 1).all()
            difference = made.astype(float) - feeds[1]["x"].astype(float)
            change.append(np.square(difference).mean())
        assert change[0] > 0
        assert change == sorted(change)


def test_noise_differs_between_samples() -> None:
    feeds = [{"x": np.linspace(0, 1, 64, dtype=np.float32)[None]}] * 2
    corruptor = Corruptor(feeds)
    first, second = (corruptor.corrupt(feeds[0], n, "gaussian-noise", 3)["x"] for n in (0, 1))
    assert not np.array_equal(first, second)


def test_what_is_no_image_beside_one_stays() -> None:
    image = np.linspace(0, 1, 192, dtype=np.float32).reshape(1, 3, 8, 8)
    feed = {"image": image, "mask": np.ones((1, 8))}
    changed = Corruptor([feed]).corrupt(feed, 0, "brightness", 5)
    assert changed["mask"] is feed["mask"]
    assert not np.array_equal(changed["image"], feed["image"])


@pytest.mark.parametrize("shape", [(1, 1, 5, 9), (1, 3, 8, 8), (1, 200, 130, 3), (1, 4, 6, 6)])
def test_thumbnails(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).random(shape).astype(np.float32)
    content = base64.b64decode(thumbnail(image, *value_range([{"x": image}], "x")))
    pixels = matplotlib.image.imread(io.BytesIO(content), format="png")
    assert max(pixels.shape[:2]) <= 64
    if shape == (1, 3, 8, 8):
        channel = image[0, 1]
        scaled = (channel - channel.min()) / (channel.max() - channel.min())
        assert np.allclose(pixels[..., 1], scaled, atol=1 / 255)
