"""Analyse a model: sizes to look at it with, labels, coupled groups, and consumers set free."""

from __future__ import annotations

from onnxprune.analysis.model import Analysis, analyze_model

__all__ = ["Analysis", "analyze_model"]
