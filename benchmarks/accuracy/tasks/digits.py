"""The demonstration model that ships with the package, on its own evaluation images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxprune.demo import CALIBRATION, MODEL, load_digits
from tasks.base import Feed, Run, Task

if TYPE_CHECKING:
    from pathlib import Path


class Digits(Task):
    """Needs no file but those of the package."""

    name = "digits"
    metric_name = "top-1 accuracy"
    model_file = MODEL.name

    def __init__(
        self, models: Path, *, data: Path | None = None, cache: Path | None = None
    ) -> None:
        super().__init__(models, data=data, cache=cache)
        self.model_path = MODEL

    def calibration(self, n: int, seed: int = 0) -> list[Feed]:
        """Draw training images."""
        with np.load(CALIBRATION) as arrays:
            [(name, images)] = arrays.items()
        chosen = np.random.default_rng(seed).permutation(len(images))[:n]
        return [{name: images[i : i + 1]} for i in chosen]

    def measure(self, run: Run) -> float:
        """Return the share of evaluation images that are read right."""
        images, labels = load_digits()
        with np.load(CALIBRATION) as arrays:
            [name] = arrays.files
        return float((run({name: images})[0].argmax(1) == labels).mean())
