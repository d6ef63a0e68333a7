"""Criteria: how much each atom of a group matters. One module per family, registered by name."""

from __future__ import annotations

from onnxprune.criteria import (
    activation,
    file,
    geometry,
    greedy,
    lamp,
    magnitude,
    normalization,
    perturbation,
    random,
)
from onnxprune.criteria.registry import CRITERIA, Criterion, ScoreContext, criterion, find_criterion

__all__ = [
    "CRITERIA",
    "Criterion",
    "ScoreContext",
    "activation",
    "criterion",
    "file",
    "find_criterion",
    "geometry",
    "greedy",
    "lamp",
    "magnitude",
    "normalization",
    "perturbation",
    "random",
]
