"""The document that `providers --json` writes, and the base of the documents about measuring."""

from __future__ import annotations

import json
from typing import Literal

from pydantic import BaseModel, ConfigDict

from onnxprune.version import __version__

__all__ = ["JsonDocument", "PackageEntry", "ProviderEntry", "ProvidersReport"]


class JsonDocument(BaseModel):
    """Base of all documents here and of their parts."""

    model_config = ConfigDict(frozen=True)

    def to_json(self) -> str:
        """Return the document as ASCII: safe to show, whatever names it holds."""
        text = json.dumps(self.model_dump(mode="json"), indent=1)
        return text.replace("\x7f", "\\u007f") + "\n"


class PackageEntry(JsonDocument):
    """What brings a provider."""

    distribution: str
    kind: Literal["build", "plugin", "none"]
    note: str


class ProviderEntry(JsonDocument):
    """An execution provider and whether it is here.

    Attributes:
        presence: `built-in` or `plugin` when it can be asked for, `no device` when its library
            finds nothing to run on, `missing` otherwise.
        detail: what was seen.
        install: the command that brings it.
        python: the interpreter that was looked at.
        emulated: what it computes on here when that is an emulator.
    """

    name: str
    runtime_name: str
    title: str
    aliases: list[str]
    device: Literal["cpu", "gpu", "npu"]
    presence: Literal["built-in", "plugin", "no device", "missing"]
    version: str
    detail: str
    install: str
    python: str
    packages: list[PackageEntry]
    options: dict[str, str]
    defaults: dict[str, str]
    alignment: dict[str, int]
    layout: str
    fixed_shapes: Literal["no", "preferred", "required"]
    precision: list[str]
    tolerance: float
    emulated: str
    without_device: str
    notes: list[str]


class ProvidersReport(JsonDocument):
    """What `providers --json` writes."""

    format: Literal["onnxprune.providers/1"] = "onnxprune.providers/1"
    tool: str = f"onnxprune {__version__}"
    onnxruntime: str | None
    providers: list[ProviderEntry]
