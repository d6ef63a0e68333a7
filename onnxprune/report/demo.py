"""The JSON document of the demonstration."""

from __future__ import annotations

from typing import Literal

from onnxprune.report.document import TOOL, Document
from onnxprune.report.models import Verified  # noqa: TC001  # fields are read at run time


class DemoSide(Document):
    """The demonstration model before or after."""

    params: int
    macs: int
    bytes: int
    accuracy: float
    latency_ms: float


class DemoReport(Document):
    """What `demo --json` writes."""

    format: Literal["onnxprune.demo/1"] = "onnxprune.demo/1"
    tool: str = TOOL
    before: DemoSide
    after: DemoSide
    verified: Verified
    images: int
    runs: int
