"""Allocations: which group gives how much. One module per method, registered by name."""

from __future__ import annotations

from onnxprune.allocation import simple
from onnxprune.allocation.registry import ALLOCATIONS, Allocation, allocation
from onnxprune.allocation.solve import Target, solve

__all__ = ["ALLOCATIONS", "Allocation", "Target", "allocation", "simple", "solve"]
