"""Settings in files: `[tool.onnxprune]` of pyproject.toml, or onnxprune.toml."""

from __future__ import annotations

from onnxprune.config.check import CheckSection, Limits
from onnxprune.config.document import Config
from onnxprune.config.prune import BenchSection, PruneSection, RunSection
from onnxprune.config.read import FILE_NAMES, ConfigFile, find_config, read_config
from onnxprune.config.section import Metavar, Section, parse_section

__all__ = [
    "FILE_NAMES",
    "BenchSection",
    "CheckSection",
    "Config",
    "ConfigFile",
    "Limits",
    "Metavar",
    "PruneSection",
    "RunSection",
    "Section",
    "find_config",
    "parse_section",
    "read_config",
]
