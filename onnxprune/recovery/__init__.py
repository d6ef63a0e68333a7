"""Repair what pruning breaks, without training: unlabelled samples and forward passes only."""

from __future__ import annotations

from onnxprune.recovery import methods
from onnxprune.recovery.registry import RECOVERIES, Recovery, recovery

__all__ = ["RECOVERIES", "Recovery", "methods", "recovery"]
