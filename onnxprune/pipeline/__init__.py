"""The verbs: load, analyze, plan, apply, verify, prune, benchmark.

Each takes what the one before it returns, or a file; `prune` runs them all. The command line does
nothing that these functions do not.
"""

from __future__ import annotations

from onnxprune.pipeline.applying import apply, apply_to_state_dict
from onnxprune.pipeline.comparing import benchmark, verify
from onnxprune.pipeline.loading import analyze, load
from onnxprune.pipeline.making import order, plan
from onnxprune.pipeline.pruning import prune

__all__ = [
    "analyze",
    "apply",
    "apply_to_state_dict",
    "benchmark",
    "load",
    "order",
    "plan",
    "prune",
    "verify",
]
