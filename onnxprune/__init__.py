"""Structured pruning for ONNX graphs.

The verbs are functions of this package: `load`, `analyze`, `plan`, `apply`, `verify`, `prune`,
`benchmark`, `check`.
Nothing is imported before one of them is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from onnxprune.version import __version__

if TYPE_CHECKING:
    from onnxprune.analysis import Analysis
    from onnxprune.bench.document import BenchReport
    from onnxprune.core.plan import PrunePlan
    from onnxprune.gate.document import CheckReport
    from onnxprune.gate.run import check
    from onnxprune.io import Model
    from onnxprune.pipeline import analyze, apply, benchmark, load, plan, prune, verify
    from onnxprune.report.models import PruneReport, VerifyReport

__all__ = [
    "Analysis",
    "BenchReport",
    "CheckReport",
    "Model",
    "PrunePlan",
    "PruneReport",
    "VerifyReport",
    "__version__",
    "analyze",
    "apply",
    "apply_to_state_dict",
    "benchmark",
    "check",
    "load",
    "order",
    "plan",
    "prune",
    "verify",
]

_HOMES = {
    "Analysis": "onnxprune.analysis",
    "CheckReport": "onnxprune.gate.document",
    "BenchReport": "onnxprune.bench.document",
    "Model": "onnxprune.io",
    "PrunePlan": "onnxprune.core.plan",
    "PruneReport": "onnxprune.report.models",
    "VerifyReport": "onnxprune.report.models",
    "check": "onnxprune.gate.run",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401  # what the names are is said above
    if name not in __all__:
        message = f"module 'onnxprune' has no attribute '{name}'"
        raise AttributeError(message)
    value = getattr(importlib.import_module(_HOMES.get(name, "onnxprune.pipeline")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
