"""Second moments of every consumer on the original network, in one walk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxprune.recovery.moments import Moments, gather, total

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from onnxprune.recovery.sites import Site
    from onnxprune.runtime.stream import TwinStream


def dense_moments(
    stream: TwinStream,
    sites: Sequence[Site],
    *,
    folds: Sequence[int],
    progress: Callable[[int, int], None] | None = None,
) -> dict[int, list[Moments]]:
    """Return moments by node number: those of the first fold, and of all others together."""
    found: dict[int, list[Moments]] = {}
    for done, site in enumerate(sites):
        stream.move(site.number)

        def values(batch: int, site: Site = site):  # type: ignore[no-untyped-def]  # noqa: ANN202
            return stream.original(site.x, batch), stream.original(site.target, batch)

        parts = gather(site, stream.batches, values, folds)
        found[site.number] = parts if len(parts) < 3 else [parts[0], total(parts[1:])]
        if progress is not None:
            progress(done + 1, len(sites))
    return found
