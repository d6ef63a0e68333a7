"""What layers and copies cost on an execution provider: measured where it was, else estimated.

`LayerCosts` is what everybody asks; `DefaultCosts` answers from multiply-accumulates and bytes,
`CostTable` from measurements of small models, kept in a cache per machine, provider and version.
"""

from __future__ import annotations

from onnxprune.costs.estimate import DefaultCosts
from onnxprune.costs.layer import Blocking, Copy, Copying, Layer, LayerCosts

__all__ = ["Blocking", "Copy", "Copying", "DefaultCosts", "Layer", "LayerCosts"]
