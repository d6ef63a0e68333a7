"""Unlabelled samples: read from files, checked against the inputs of a model, or made up."""

from __future__ import annotations

from onnxprune.calibration.loading import (
    DEFAULT_SAMPLES,
    SYNTHETIC_WARNING,
    feed_dims,
    load_calibration,
    split_held_back,
    synthetic_calibration,
)

__all__ = [
    "DEFAULT_SAMPLES",
    "SYNTHETIC_WARNING",
    "feed_dims",
    "load_calibration",
    "split_held_back",
    "synthetic_calibration",
]
