"""The JSON schemas of all documents that commands write and read, by kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxprune.bench.document import BenchReport
from onnxprune.providers.document import ProvidersReport
from onnxprune.report.costs import CostsReport
from onnxprune.report.models import SCHEMAS as _OF_PRUNING

if TYPE_CHECKING:
    from pydantic import BaseModel

SCHEMAS: dict[str, type[BaseModel]] = {
    **_OF_PRUNING,
    "bench": BenchReport,
    "costs": CostsReport,
    "providers": ProvidersReport,
}
"""Documents by kind, as `onnxprune schema` names them."""
