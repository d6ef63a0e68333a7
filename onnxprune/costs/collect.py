"""Fill tables for models: measure what the cache does not hold, and keep it there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from onnxprune.costs.cache import (
    Identity,
    cache_directory,
    read_measured,
    write_measured,
)
from onnxprune.costs.table import CostTable
from onnxprune.errors import ProviderUnavailableError
from onnxprune.providers.calling import call_on
from onnxprune.providers.interpreter import call_in
from onnxprune.runtime.machine import processor, usable_cores

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from onnxprune.costs.layer import Copy, Layer
    from onnxprune.providers.availability import Availability
    from onnxprune.providers.spec import ProviderSpec

    Progress = Callable[[int, int], None]

__all__ = ["Collection", "identity_of", "look_up", "open_collection"]

_TIMEOUT_S = 3600.0
_SURVEY_S = 120.0
_PORTION = 200
"""Layers that are measured before they are kept: an interruption loses no more."""


@dataclass(slots=True)
class Collection:
    """The table of a provider, backed by the cache.

    Attributes:
        identity: what its times hold for.
        table: the table.
        directory: where the cache is.
        added: how many times were measured.
        kept: whether all of them could be written.
    """

    identity: Identity
    table: CostTable
    directory: Path
    added: int = field(default=0)
    kept: bool = field(default=True)


def open_collection(
    spec: ProviderSpec,
    identity: Identity,
    *,
    directory: Path | None = None,
    progress: Progress | None = None,
    measuring: bool = True,
) -> Collection:
    """Return the table of a provider.

    Args:
        spec: the provider.
        identity: what its times hold for.
        directory: the cache, by default that of the user.
        progress: called with (done, total) while something is measured.
        measuring: whether what is missing is measured; otherwise it is estimated.
    """
    place = directory or cache_directory()
    measured = read_measured(identity, place)

    def measure(items: Sequence[Layer | Copy]) -> list[float | None]:
        found: list[float | None] = []
        for start in range(0, len(items), _PORTION):
            portion = list(items[start : start + _PORTION])

            def tell(done: int, _total: int, start: int = start) -> None:
                if progress is not None:
                    progress(start + done, len(items))

            found += call_on(
                spec, "onnxprune.costs.measure:measure_layers",
                {"items": portion, "threads": identity.threads},
                timeout_s=_TIMEOUT_S, memory_limit_bytes=None, progress=tell,
                task=f"measuring layers on {spec.text}",
            )  # fmt: skip
            times = {i.key: t for i, t in zip(portion, found[start:], strict=True)}
            collection.added += len(times)
            collection.kept &= write_measured(identity, times, place)
        return found

    how = measure if measuring else None
    table = CostTable(measured, how, blocked=spec.facts.blocks_images)
    collection = Collection(identity, table, place)
    return collection


def identity_of(
    spec: ProviderSpec, threads: int, runtime: str, availability: Availability
) -> Identity:
    """Return what times hold for that are measured now.

    Args:
        spec: the provider.
        threads: threads within an operator.
        runtime: version of ONNX Runtime.
        availability: how the provider is here.
    """
    return Identity(spec.text, threads, runtime, availability.version, processor(), usable_cores())


def look_up(
    spec: ProviderSpec, threads: int, *, directory: Path | None = None
) -> Collection | None:
    """Return what was measured on a provider before, None when the provider is not here.

    Args:
        spec: the provider.
        threads: threads within an operator.
        directory: the cache, by default that of the user.
    """
    try:
        runtime, [found] = call_in(
            None, "onnxprune.providers.check:survey", {"facts": [spec.facts]},
            timeout_s=_SURVEY_S, memory_limit_bytes=None, task="looking for the provider",
        )  # fmt: skip
    except ProviderUnavailableError:
        return None
    identity = identity_of(spec, threads, runtime, found)
    return open_collection(spec, identity, directory=directory, measuring=False)
