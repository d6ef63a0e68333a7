"""Several verbs in a row: a configuration carried out, and many jobs side by side."""

from __future__ import annotations

from onnxprune.workflow.configured import RunReport, run
from onnxprune.workflow.jobs import SweepReport, sweep

__all__ = ["RunReport", "SweepReport", "run", "sweep"]
