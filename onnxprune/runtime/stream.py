"""Walk a graph with two sets of weights at once, node by node, keeping only live values.

One stream has the original weights, the other those changed so far. Between two stops the nodes run
as one small model; every node runs once per stream. What does not depend on a change is shared.
"""

from __future__ import annotations

import tempfile
import weakref
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.runtime.segment import Mask, Program, needed_steps, open_segment

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from onnxprune.runtime.feeds import Array, Feed

__all__ = ["TwinStream", "Values"]

_SPILL_FROM = 1 << 20


class _Spilled:
    """An array in a file that has no name; memory holds none of it."""

    def __init__(self, array: Array) -> None:
        self._dtype, self._shape = array.dtype, array.shape
        self._file = tempfile.TemporaryFile(prefix="onnxprune-")  # noqa: SIM115 - see below
        weakref.finalize(self, self._file.close)
        array.tofile(self._file)

    def load(self) -> Array:
        self._file.seek(0)
        return np.fromfile(self._file, self._dtype).reshape(self._shape)


class Values:
    """Values by name for every batch; past a budget they lie in files.

    Args:
        feeds: values to start with, by batch.
        budget: bytes that may be in memory.
    """

    def __init__(self, feeds: Sequence[Feed], budget: int) -> None:
        given = [{k: v for k, v in f.items() if isinstance(v, np.ndarray)} for f in feeds]
        self.batches: list[dict[str, Array | _Spilled]] = [{**f} for f in given]
        self._budget = budget
        self._held = sum(a.nbytes for f in given for a in f.values())

    def put(self, batch: int, name: str, array: Array) -> None:
        """Keep a value."""
        full = self._held + array.nbytes > self._budget
        if full and array.nbytes >= _SPILL_FROM and array.dtype.kind != "O":
            self.batches[batch][name] = _Spilled(array)
            return
        self._held += array.nbytes
        self.batches[batch][name] = array

    def get(self, batch: int, name: str) -> Array:
        """Return a value."""
        found = self.batches[batch][name]
        return found.load() if isinstance(found, _Spilled) else found

    def drop(self, batch: int, name: str) -> None:
        """Let go of a value, if it is there."""
        gone = self.batches[batch].pop(name, None)
        if isinstance(gone, np.ndarray):
            self._held -= gone.nbytes


class TwinStream:
    """Values of the original and of the changed network, up to a moving position.

    Args:
        program: the graph.
        feeds: one feed per batch; samples of equal shape may be stacked.
        budget: bytes of values that may be in memory.
        threads: threads within an operator.
    """

    def __init__(
        self, program: Program, feeds: Sequence[Feed], *, budget: int = 3 << 28, threads: int = 1
    ) -> None:
        self.program = program
        self.weights: dict[str, Array] = {}
        self.masks: list[Mask] = []
        self.biases: dict[int, Array] = {}
        self._threads = threads
        self._dense = Values(feeds, budget // 2)
        self._changed = Values([{} for _ in feeds], budget // 2)
        self._diverged: set[str] = set()
        self._ahead = 0  # next node of the original
        self._behind = 0  # next node of the changed network

    @property
    def batches(self) -> int:
        """Number of batches."""
        return len(self._dense.batches)

    def original(self, name: str, batch: int) -> Array:
        """Return a value of the original network."""
        return self._dense.get(batch, name)

    def changed(self, name: str, batch: int) -> Array:
        """Return a value of the changed network."""
        own = self._changed if name in self._changed.batches[batch] else self._dense
        return own.get(batch, name)

    def differs(self, name: str) -> bool:
        """Tell whether a value depends on a change."""
        return name in self._diverged

    def move(self, number: int) -> None:
        """Go to a node: what it reads is known in both networks, what it makes in the original."""
        affected = self._affected(self._behind, number)
        needed = self._shared_reads(affected)
        needed.update(self.program.steps[number].reads, self.program.steps[number].writes)
        self._run(self._dense, range(self._ahead, number + 1), number, needed, original=True)
        self._ahead = max(self._ahead, number + 1)
        reads = self.program.steps[number].reads
        self._run(self._changed, affected, number, reads, original=False)
        self._behind = number
        for values in (self._dense, self._changed):
            for name in [n for n in values.batches[0] if self._used_up(n, number)]:
                for batch in range(self.batches):
                    values.drop(batch, name)

    def finish(self) -> None:
        """Run both networks to their outputs."""
        end = len(self.program.steps)
        affected = self._affected(self._behind, end)
        needed = self._shared_reads(affected)
        self._run(self._dense, range(self._ahead, end), end, needed, original=True)
        self._run(self._changed, affected, end, (), original=False)
        self._ahead = self._behind = end

    def _shared_reads(self, affected: Sequence[int]) -> set[str]:
        """Return what changed nodes read of the original because it does not depend on a change."""
        return {n for i in affected for n in self.program.steps[i].reads} - self._diverged

    def _used_up(self, name: str, number: int) -> bool:
        """Tell whether nothing from a node on reads a value, and the node does not make it."""
        made_here = any(name in s.writes for s in self.program.steps[number : number + 1])
        return self.program.last_use.get(name, -1) < number and not made_here

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
        self,
        values: Values,
        numbers: Sequence[int],
        number: int,
        needed: Collection[str],
        *,
        original: bool,
    ) -> None:
        """Run nodes on the way to a node, and let go of what nothing from there on reads."""
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
        over = [n for n in outside if n not in needed and self._used_up(n, number)]
        for batch in range(self.batches):
            made_now = call({n: get(n, batch) for n in outside})
            for name in over:
                values.drop(batch, name)
            for name, array in made_now.items():
                values.put(batch, name, array)
