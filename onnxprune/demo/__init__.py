"""A small trained model with its images, so that the tool can be tried without any other file.

The model classifies 8 x 8 handwritten digits; `benchmarks/train_demo.py` made all three files. The
calibration images are training images without labels, in the form that `--calibration` takes; the
evaluation images were never trained on.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

__all__ = ["CALIBRATION", "EVALUATION", "MODEL", "accuracy", "load_digits"]

_FOLDER = Path(__file__).parent

MODEL = _FOLDER / "digits.onnx"
CALIBRATION = _FOLDER / "calibration.npz"
EVALUATION = _FOLDER / "evaluation.npz"


def load_digits() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Load the evaluation set.

    Returns:
        The images, [n 1 8 8] with values from 0 to 1, and the digit that each one shows, [n].

    Example:
        >>> images, labels = load_digits()
        >>> images.shape, labels.shape
        ((599, 1, 8, 8), (599,))
    """
    with np.load(EVALUATION) as arrays:
        return arrays["image"], arrays["label"]


def accuracy(run: Callable[[Mapping[str, NDArray[np.float32]]], dict[str, NDArray[Any]]]) -> float:
    """Return the share of the evaluation images that are read rightly: a metric for `--metric`.

    Args:
        run: Runs a model: a function from arrays by input to arrays by output.
    """
    images, labels = load_digits()
    [logits] = run({"image": images}).values()
    return float((logits.argmax(axis=1) == labels).mean())
