"""The document that `mobile --json` writes; fields may be added, never renamed."""

from __future__ import annotations

from typing import Literal

from onnxprune.providers.document import JsonDocument
from onnxprune.version import __version__

__all__ = ["FileEntry", "MobileReport", "PlacementEntry", "RefusedEntry"]


class FileEntry(JsonDocument):
    """A file that was written.

    Attributes:
        purpose: what it is for.
        max_rel: largest difference of its outputs from the model's, relative.
    """

    path: str
    bytes: int
    purpose: str
    max_rel: float | None


class RefusedEntry(JsonDocument):
    """Nodes that a provider does not take, for one reason."""

    op: str
    nodes: int
    macs: int
    reason: str


class PlacementEntry(JsonDocument):
    """What a provider will run, judged without the device.

    Attributes:
        provider: its name here.
        variant: which of its formats.
        verdict: `good`, `partly` or `poor`.
        reason: why.
        nodes_share: share of the nodes that it takes.
        macs_share: share of the multiply-accumulates that it takes.
        partitions: stretches that it runs, at least; between them data goes back to the CPU.
        refused: what it does not take, most multiply-accumulates first.
        unchecked: conditions of operators in use that nothing here can check, by operator.
        source: where the list of operators comes from.
    """

    provider: str
    variant: str
    verdict: Literal["good", "partly", "poor"]
    reason: str
    nodes_share: float
    macs_share: float
    partitions: int
    refused: list[RefusedEntry]
    unchecked: dict[str, str]
    source: str


class MobileReport(JsonDocument):
    """What `mobile --json` writes.

    Attributes:
        dims: sizes that were fixed, by symbol.
        precision: what the model computes in: `float32`, `float16`, `QDQ`, ...
        notes: what the user should know.
    """

    format: Literal["onnxprune.mobile/1"] = "onnxprune.mobile/1"
    tool: str = f"onnxprune {__version__}"
    model: str
    dims: dict[str, int]
    precision: str
    files: list[FileEntry]
    placements: list[PlacementEntry]
    notes: list[str]
