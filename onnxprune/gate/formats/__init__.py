"""What a report is written as: a module for each format, listed here."""

from __future__ import annotations

from onnxprune.gate.formats import benchmark, github, gitlab, json, junit, markdown, sarif
from onnxprune.gate.formats.registry import FORMATS, FileFormat

__all__ = [
    "FORMATS",
    "FileFormat",
    "benchmark",
    "github",
    "gitlab",
    "json",
    "junit",
    "markdown",
    "sarif",
]
