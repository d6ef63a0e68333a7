"""Turn a cut into a model: slice parameters, follow with shape operands and attributes.

The only package that edits graphs. Weights are sliced when the file is written, one at a time.
"""

from __future__ import annotations

from onnxprune.rewrite.apply import Rewritten, rewrite
from onnxprune.rewrite.bypass import bypass

__all__ = ["Rewritten", "bypass", "rewrite"]
