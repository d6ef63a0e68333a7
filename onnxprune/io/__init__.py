"""Loading what strangers send, and writing whole files or none."""

from __future__ import annotations

from onnxprune.io.load import load_model
from onnxprune.io.model import Model
from onnxprune.io.write import Written, write_model

__all__ = ["Model", "Written", "load_model", "write_model"]
