"""Which stage of the pipeline is running, for how long, and how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with the stage, and how much of how much is done; zero of zero when a stage begins."""


class Stages:
    """Times the stages of one job and tells an observer about them."""

    def __init__(self, progress: Progress | None = None) -> None:
        self.seconds: dict[str, float] = {}
        self._progress = progress
        self._start = time.perf_counter()

    @contextmanager
    def stage(self, name: str) -> Iterator[Callable[[int, int], None]]:
        """Time a block; yields a function that takes (done, total)."""

        def step(done: int, total: int) -> None:
            self.tell(name, done, total)

        step(0, 0)
        start = time.perf_counter()
        try:
            yield step
        finally:
            spent = time.perf_counter() - start
            self.seconds[name] = self.seconds.get(name, 0.0) + spent

    def tell(self, name: str, done: int, total: int) -> None:
        """Tell the observer about a part of a stage."""
        if self._progress is not None:
            self._progress(name, done, total)

    def parts(self, name: str, seconds: Mapping[str, float]) -> None:
        """Add what the parts of a stage took, as `stage.part`; the stage has timed their sum."""
        for part, spent in seconds.items():
            key = f"{name}.{part}"
            self.seconds[key] = self.seconds.get(key, 0.0) + spent

    def all_seconds(self) -> dict[str, float]:
        """Return seconds by stage and by part of a stage, and `total` since the beginning."""
        total = time.perf_counter() - self._start
        return {k: round(v, 4) for k, v in (*self.seconds.items(), ("total", total))}
