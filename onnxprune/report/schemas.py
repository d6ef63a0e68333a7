"""The JSON schemas of all documents that commands write and read, by kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxprune.bench.document import BenchReport
from onnxprune.core.plan import PrunePlan
from onnxprune.criteria.file import ScoreFile
from onnxprune.providers.document import ProvidersReport
from onnxprune.report.costs import CostsReport
from onnxprune.report.demo import DemoReport
from onnxprune.report.listing import CriteriaReport, PluginsReport, RulesReport
from onnxprune.report.models import AnalysisReport, PruneReport, VerifyReport

if TYPE_CHECKING:
    from pydantic import BaseModel

SCHEMAS: dict[str, type[BaseModel]] = {
    "analysis": AnalysisReport,
    "bench": BenchReport,
    "costs": CostsReport,
    "criteria": CriteriaReport,
    "demo": DemoReport,
    "plan": PrunePlan,
    "plugins": PluginsReport,
    "providers": ProvidersReport,
    "prune": PruneReport,
    "rules": RulesReport,
    "scores": ScoreFile,
    "verify": VerifyReport,
}
"""Documents by kind, as `onnxprune schema` names them."""
