"""Walk a graph with two sets of weights at once, node by node, keeping only live values.

One stream has the original weights, the other those changed so far. Between two stops the nodes run
as one small model; every node runs once per stream. What does not depend on a change is shared.
"""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.runtime.segment import Mask, Program, needed_steps, open_segment

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from onnxprune.runtime.feeds import Array, Feed

__all__ = ["TwinStream"]

_SPILL_FROM = 1 << 20


class _Values:
    """Values by name for every batch; past a budget they lie in files that have no name."""

    def __init__(self, feeds: Sequence[Feed], budget: int) -> None:
        self.batches: list[dict[str, Array]] = [
            {k: v for k, v in f.items() if isinstance(v, np.ndarray)} for f in feeds
        ]
        self._budget = budget
        self._held = 0

    def put(self, batch: int, name: str, array: Array) -> None:
        full = self._held + array.nbytes > self._budget
        if full and array.nbytes >= _SPILL_FROM and array.dtype.kind != "O":
            with tempfile.TemporaryFile(prefix="onnxprune-") as file:  # lives on as the map
                spilled = np.memmap(file, array.dtype, "w+", shape=array.shape)
            spilled[...] = array
            self.batches[batch][name] = spilled
            return
        self._held += array.nbytes
        self.batches[batch][name] = array

    def drop(self, name: str) -> None:
        for batch in self.batches:
            gone = batch.pop(name, None)
            if gone is not None and not isinstance(gone, np.memmap):
                self._held -= gone.nbytes

    def __contains__(self, name: str) -> bool:
        return name in self.batches[0]


class TwinStream:
    """Values of the original and of the changed network, up to a moving position.

    Args:
        program: the graph.
        feeds: one feed per batch; samples of equal shape may be stacked.
        budget: bytes of values that may be in memory.
        threads: threads within an operator.
    """

    def __init__(
        self, program: Program, feeds: Sequence[Feed], *, budget: int = 1 << 30, threads: int = 1
    ) -> None:
        self.program = program
        self.weights: dict[str, Array] = {}
        self.masks: list[Mask] = []
        self.biases: dict[int, Array] = {}
        self._threads = threads
        self._dense = _Values(feeds, budget // 2)
        self._changed = _Values([{} for _ in feeds], budget // 2)
        self._diverged: set[str] = set()
        self._ahead = 0  # next node of the original
        self._behind = 0  # next node of the changed network

    @property
    def batches(self) -> int:
        """Number of batches."""
        return len(self._dense.batches)

    def original(self, name: str, batch: int) -> Array:
        """Return a value of the original network."""
        return self._dense.batches[batch][name]

    def changed(self, name: str, batch: int) -> Array:
        """Return a value of the changed network."""
        own = self._changed.batches[batch]
        return own[name] if name in own else self._dense.batches[batch][name]

    def differs(self, name: str) -> bool:
        """Tell whether a value depends on a change."""
        return name in self._diverged

    def move(self, number: int) -> None:
        """Go to a node: what it reads is known in both networks, what it makes in the original."""
        affected = self._affected(self._behind, number)
        needed = self._shared_reads(affected)
        needed.update(self.program.steps[number].reads, self.program.steps[number].writes)
        self._run(self._dense, range(self._ahead, number + 1), needed, original=True)
        self._ahead = max(self._ahead, number + 1)
        self._run(self._changed, affected, self.program.steps[number].reads, original=False)
        self._behind = number
        for values in (self._dense, self._changed):
            for name in list(values.batches[0]):
                if self.program.last_use.get(name, -1) < number and not self._made_at(name, number):
                    values.drop(name)

    def finish(self) -> None:
        """Run both networks to their outputs."""
        end = len(self.program.steps)
        affected = self._affected(self._behind, end)
        needed = self._shared_reads(affected)
        self._run(self._dense, range(self._ahead, end), needed, original=True)
        self._run(self._changed, affected, (), original=False)
        self._ahead = self._behind = end

    def _shared_reads(self, affected: Sequence[int]) -> set[str]:
        """Return what changed nodes read of the original because it does not depend on a change."""
        return {n for i in affected for n in self.program.steps[i].reads} - self._diverged

    def _made_at(self, name: str, number: int) -> bool:
        return name in self.program.steps[number].writes

    def _affected(self, start: int, stop: int) -> list[int]:
        masked = {*self.biases, *(m.step for m in self.masks)}
        found = []
        for number in range(start, stop):
            step = self.program.steps[number]
            changed = any(r in self._diverged or r in self.weights for r in step.reads)
            if changed or number in masked:
                found.append(number)
                self._diverged.update(step.writes)
        return found

    def _run(
        self, values: _Values, numbers: Sequence[int], needed: Collection[str], *, original: bool
    ) -> None:
        numbers = list(numbers)
        if not numbers:
            return
        stop = numbers[-1]
        made = [w for n in numbers for w in self.program.steps[n].writes]
        weight = self.program.is_weight
        wanted = [
            w for w in made
            if (self.program.last_use.get(w, -1) > stop or w in needed)
            and self.program.constant(w) is None
        ]  # fmt: skip
        numbers = needed_steps(self.program, numbers, wanted)
        if not wanted:
            return
        outside = {r for n in numbers for r in self.program.steps[n].reads if not weight(r)}
        get = self.original if original else self.changed
        inside = set(made)
        outside -= inside
        like = {n: get(n, 0) for n in outside}
        call = open_segment(
            self.program, numbers, wanted,
            weights={} if original else self.weights,
            masks=() if original else [m for m in self.masks if m.step in set(numbers)],
            biases={} if original else self.biases,
            like=like, threads=self._threads,
        )  # fmt: skip
        for batch in range(self.batches):
            made_now = call({n: get(n, batch) for n in outside})
            for name, array in made_now.items():
                values.put(batch, name, array)
