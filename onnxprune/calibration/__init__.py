"""Unlabelled samples: from files or code, checked against the inputs of a model, or made up."""

from __future__ import annotations

from onnxprune.calibration.loading import (
    DEFAULT_SAMPLES,
    SYNTHETIC_WARNING,
    feed_dims,
    load_calibration,
    synthetic_calibration,
)
from onnxprune.calibration.sources import (
    SYNTHETIC,
    Entry,
    SampleSet,
    Source,
    collect_samples,
    hold_back,
)

__all__ = [
    "DEFAULT_SAMPLES",
    "SYNTHETIC",
    "SYNTHETIC_WARNING",
    "Entry",
    "SampleSet",
    "Source",
    "collect_samples",
    "feed_dims",
    "hold_back",
    "load_calibration",
    "synthetic_calibration",
]
