"""Criteria: how much each atom of a group matters. One module per family, registered by name."""

from __future__ import annotations

from onnxprune.criteria import activation, magnitude, random
from onnxprune.criteria.registry import CRITERIA, Criterion, ScoreContext, criterion

__all__ = [
    "CRITERIA",
    "Criterion",
    "ScoreContext",
    "activation",
    "criterion",
    "magnitude",
    "random",
]
