"""Two models or two plans, compared in words."""

from __future__ import annotations

from onnxprune.diff.compare import compare_files
from onnxprune.diff.document import DiffReport

__all__ = ["DiffReport", "compare_files"]
