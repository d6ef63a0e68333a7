"""Ways to repair a weight, one module each, registered by name."""

from __future__ import annotations

from onnxprune.recovery.methods import bias, least_squares, moments, none

__all__ = ["bias", "least_squares", "moments", "none"]
