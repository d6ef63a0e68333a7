"""Allocations: which group gives how much. One module per method, registered by name."""

from __future__ import annotations

from onnxprune.allocation import knapsack, lamp, sensitivity, simple
from onnxprune.allocation.registry import (
    ALLOCATIONS,
    Allocation,
    AllocationContext,
    allocation,
    find_allocation,
)
from onnxprune.allocation.solve import Target, solve

__all__ = [
    "ALLOCATIONS",
    "Allocation",
    "AllocationContext",
    "Target",
    "allocation",
    "find_allocation",
    "knapsack",
    "lamp",
    "sensitivity",
    "simple",
    "solve",
]
