"""How near a pruned model's outputs are to the original's, on samples that were held back."""

from __future__ import annotations

from onnxprune.fidelity.document import Fidelity, MetricChange, OutputFidelity, SearchStep
from onnxprune.fidelity.judge import Judge, Judgement, fidelity

__all__ = [
    "Fidelity",
    "Judge",
    "Judgement",
    "MetricChange",
    "OutputFidelity",
    "SearchStep",
    "fidelity",
]
