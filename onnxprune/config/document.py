"""All sections of a configuration; a command reads its own."""

from __future__ import annotations

from pydantic import Field

from onnxprune.config.check import CheckSection  # noqa: TC001  # pydantic reads annotations
from onnxprune.config.prune import (  # noqa: TC001
    BenchSection,
    PruneSection,
    RunSection,
)
from onnxprune.config.section import Section

__all__ = ["Config"]


class Config(Section):
    """What `[tool.onnxprune]` of pyproject.toml, or onnxprune.toml, may hold."""

    run: RunSection | None = Field(None, description="What `onnxprune run` works on.")
    prune: PruneSection | None = Field(None, description="What to remove, and how.")
    bench: BenchSection | None = Field(None, description="What to measure the result with.")
    check: CheckSection | None = Field(None, description="What a pruned model must keep to.")
