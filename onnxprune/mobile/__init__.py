"""Ready for phones: fixed sizes, ONNX Runtime's format, and what will run where."""

from __future__ import annotations

from onnxprune.mobile.document import MobileReport
from onnxprune.mobile.prepare import prepare_for_mobile

__all__ = ["MobileReport", "prepare_for_mobile"]
