"""Run a changed network forwards and backwards: how its errors depend on the weights it was given.

The error is how far the values that repaired operators read are from the original's, in channels
that stay, each value relative to its own deviation. The gradient is handed back node by node
(`adjoints`), down to the output of every operator that may change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.recovery.adjoints import ADJOINTS, Local
from onnxprune.recovery.moments import ROWS_PER_FEATURE
from onnxprune.runtime.segment import bias_name, needed_steps, open_segment
from onnxprune.runtime.stream import Values

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from onnxprune.core.graph import Node
    from onnxprune.recovery.sites import Site
    from onnxprune.runtime.segment import Mask, Program

    Array = np.ndarray
    Weights = Mapping[str, Array]

_ROWS = 4
"""Rows per feature that moments are taken from."""

_BUDGET = 1 << 29
"""Bytes of the original's values that may be in memory."""


@dataclass(slots=True)
class Gradient:
    """How the error depends on an operator's weights and on what is added to its output.

    Attributes:
        weight: [groups, features, outputs].
        bias: [groups, outputs].
    """

    weight: Array
    bias: Array


@dataclass(slots=True)
class _Wanted:
    """What a value should be.

    Attributes:
        keep: what its channels count, shaped to broadcast.
        energy: squared deviation of the original, summed over channels.
        rows: number of values of a channel by batch.
    """

    keep: Array
    energy: float
    rows: list[float]


class Backward:
    """A network whose weights vary.

    Args:
        program: the graph.
        nodes: its nodes by number.
        sites: operators whose weights vary.
        wanted: by value the axis of its channels, and flags of those that count.
        batches: samples.
        weights: content of initializers as changed so far.
        biases: vectors that nodes without a third input get, by number.
        masks: masks on inputs.
    """

    def __init__(
        self,
        program: Program,
        nodes: Mapping[int, Node],
        sites: Sequence[Site],
        wanted: Mapping[str, tuple[int, Array]],
        batches: Sequence[Mapping[str, Array]],
        *,
        weights: dict[str, Array],
        biases: dict[int, Array],
        masks: Sequence[Mask],
    ) -> None:
        self.program, self.nodes = program, nodes
        self.wanted, self.batches = wanted, batches
        self.weights, self.biases, self.masks = weights, biases, masks
        self._read = {bias_name(program.steps[n].writes[0]): b for n, b in biases.items()} | weights
        self._goals: dict[str, _Wanted] = {}
        self._sessions: dict[object, Callable[[Array, Array], Array]] = {}
        self._reruns: dict[object, Callable[[Weights], dict[str, Array]]] = {}
        every = range(len(program.steps))
        self._varying = {s.weight.chain.parameter.key for s in sites}
        self._varying |= {s.bias.parameter for s in sites if s.bias and s.bias.parameter}
        self._varying |= {bias_name(s.y) for s in sites if s.number in self.biases}
        self._by_number = {s.number: s for s in sites}
        self._mine: list[int] = []
        self._made: set[str] = set()
        for number in needed_steps(program, every, self.wanted):
            step = program.steps[number]
            if (
                number in self._by_number
                or self._varying & set(step.reads)
                or (self._made & set(step.reads))
            ):
                self._mine.append(number)
                self._made.update(step.writes)
        mine = set(self._mine)
        self.sites = [s for s in sites if s.number in mine]
        if not self.sites:
            return
        outside = {r for n in self._mine for r in program.steps[n].reads} - self._made
        self._outside = sorted(n for n in outside if not program.is_weight(n))
        self._before = Values([{} for _ in self.batches], _BUDGET)
        self._original = Values([{} for _ in self.batches], _BUDGET)
        self._keep_what_stays()
        self._forward = self._open()

    def _keep_what_stays(self) -> None:
        program, every = self.program, range(len(self.program.steps))
        inputs = set(program.inputs)
        made = [n for n in self._outside if n not in inputs]
        like = dict(self.batches[0])
        goals = [n for n in self.wanted if n in self._made]
        dense = open_segment(
            program, needed_steps(program, every, goals), goals, weights={}, biases={}, like=like
        )
        before = None
        if made:
            before = open_segment(
                program, needed_steps(program, every, made), made, weights=self.weights,
                biases=self.biases, masks=self.masks, like=like,
            )  # fmt: skip
        sums: dict[str, list[Array]] = {n: [] for n in goals}
        for number, batch in enumerate(self.batches):
            for name in self._outside:
                if name in inputs:
                    self._before.put(number, name, batch[name])
            for name, value in (before(batch) if before else {}).items():
                self._before.put(number, name, value)
            for name, value in dense(batch).items():
                self._original.put(number, name, value)
                axis, _ = self.wanted[name]
                other = tuple(i for i in range(value.ndim) if i != axis % value.ndim)
                sums[name].append(
                    np.stack([
                        np.full(value.shape[axis], value.size / value.shape[axis]),
                        value.sum(axis=other, dtype=np.float64),
                        np.square(value, dtype=np.float64).sum(axis=other),
                    ])
                )  # fmt: skip
        for name, parts in sums.items():
            axis, keep = self.wanted[name]
            count, total, squares = np.sum(parts, axis=0)
            rank = self._original.get(0, name).ndim
            shape = [1] * rank
            shape[axis] = -1
            energy = float(((squares - total**2 / count) * keep).sum()) / count[0]
            if energy > 0:
                self._goals[name] = _Wanted(
                    keep.reshape(shape).astype(np.float32), energy, [float(p[0, 0]) for p in parts]
                )

    def _open(self) -> Callable[[Weights], dict[str, Array]]:
        program = self.program
        wanted = [w for n in self._mine for w in program.steps[n].writes]
        like = {n: self._before.get(0, n) for n in self._outside}
        for name in self._varying:
            like[name] = self._given(name, {})
        return open_segment(
            program, self._mine, wanted, weights=self.weights, biases=self.biases,
            masks=self.masks, like=like,
        )  # fmt: skip

    def _given(self, name: str, weights: Weights) -> Array:
        found = self._content(name, weights)
        assert found is not None
        return found

    def _content(self, name: str, weights: Weights) -> Array | None:
        """Return what varies as it is now, and a constant as it was when it was read first."""
        if name in weights:
            return weights[name]
        if name not in self._read:
            tensor = self.program.weight(name)
            if tensor is None:
                return None
            self._read[name] = self.program.content(tensor)
        return self._read[name]

    # ---- forwards ------------------------------------------------------------------------------

    def _values(self, batch: int, weights: Weights) -> dict[str, Array]:
        feed = {n: self._before.get(batch, n) for n in self._outside}
        for name in self._varying:
            feed[name] = self._given(name, weights)
        return {**feed, **self._forward(feed)}

    def _differences(self, values: Mapping[str, Array], batch: int) -> dict[str, Array]:
        return {
            name: (values[name] - self._original.get(batch, name)) * goal.keep
            for name, goal in self._goals.items()
        }

    def error(self, batches: Sequence[int], weights: Weights) -> float:
        """Return the error, the mean over values of what is not explained.

        Args:
            batches: numbers of the batches to run.
            weights: content of what varies, as far as it differs from the start.
        """
        found = 0.0
        for batch in batches:
            for name, gap in self._differences(self._values(batch, weights), batch).items():
                found += float(np.square(gap, dtype=np.float64).sum()) / self._scale(name, batches)
        return found / max(len(self._goals), 1)

    def _scale(self, name: str, batches: Sequence[int]) -> float:
        """Return the squared error that counts as one."""
        goal = self._goals[name]
        rows = sum(goal.rows)
        trust = rows / (rows + ROWS_PER_FEATURE * float(goal.keep.sum()))
        return goal.energy * sum(goal.rows[b] for b in batches) / trust

    def moments(self, batches: Sequence[int]) -> dict[int, Array]:
        """Return the mean second moments of every site's input, the last feature being one.

        Args:
            batches: numbers of the batches to run.

        Returns:
            By number of the site [groups, features + 1, features + 1].
        """
        found: dict[int, Array] = {}
        for batch in batches:
            values = self._values(batch, {})
            for site in self.sites:
                x, y = values[site.x], values[site.y]
                wanted = _ROWS * site.channels * site.rows.kernel / len(batches)
                step = site.rows.step(site.rows.rows(x, y) / wanted, x, y)
                for block, _ in site.rows.blocks(x, y, step):
                    full = np.concatenate(
                        [block, np.ones((*block.shape[:2], 1), np.float32)], axis=2
                    )
                    gram = full.transpose(0, 2, 1) @ full
                    found[site.number] = found.get(site.number, 0.0) + gram.astype(np.float64)
        return {n: g / g[:, -1:, -1:] for n, g in found.items()}

    # ---- backwards -----------------------------------------------------------------------------

    def gradient(
        self, batches: Sequence[int], weights: Weights
    ) -> tuple[float, dict[int, Gradient]]:
        """Return the error and how it depends on each site, by number."""
        error, found = 0.0, dict[int, Gradient]()
        scales = {n: self._scale(n, batches) * len(self._goals) for n in self._goals}
        for batch in batches:
            values = self._values(batch, weights)
            handed: dict[str, Array] = {}
            for name, gap in self._differences(values, batch).items():
                error += float(np.square(gap, dtype=np.float64).sum()) / scales[name]
                handed[name] = gap * np.float32(2.0 / scales[name])
            for number in reversed(self._mine):
                outputs = [handed.pop(o, None) for o in self.program.steps[number].proto.output]
                if outputs[0] is not None and number in self._by_number:
                    _include(found, self._by_number[number], values, outputs[0])
                if any(o is not None for o in outputs):
                    self._hand_back(number, outputs, values, weights, handed)
        return error, found

    def _hand_back(
        self,
        number: int,
        outputs: list[Array | None],
        values: Mapping[str, Array],
        weights: Weights,
        handed: dict[str, Array],
    ) -> None:
        """Add what a node hands back to what its inputs were handed already."""
        node, proto = self.nodes[number], self.program.steps[number].proto
        adjoint = ADJOINTS.get(proto.op_type) if proto.domain in ("", "ai.onnx") else None
        if adjoint is None:
            return
        keeps = {m.position: m.keep for m in self.masks if m.step == number}
        inputs: list[Array | None] = []
        for position, name in enumerate(proto.input):
            value = values.get(name)
            if value is None and name:
                value = self._content(name, weights)
            if value is not None and position in keeps:
                value = value * keeps[position]
            inputs.append(value)
        made = [values.get(o) for o in proto.output]
        local = Local(node, inputs, made, self._rerun(number, inputs), self._sessions)
        for position, name in enumerate(proto.input):
            if name not in self._made or values[name].dtype != np.float32:
                continue
            back = adjoint(local, outputs, position)
            if back is None:
                continue
            if position in keeps:
                back = back * keeps[position]
            handed[name] = handed[name] + back if name in handed else np.asarray(back)

    def _rerun(
        self, number: int, inputs: Sequence[Array | None]
    ) -> Callable[[int, Array], list[Array]]:
        proto = self.program.steps[number].proto
        data = [n for n in dict.fromkeys(proto.input) if n and not self.program.is_weight(n)]

        def call(position: int, array: Array) -> list[Array]:
            feed = {n: inputs[list(proto.input).index(n)] for n in data}
            feed[proto.input[position]] = array
            key = (number, array.dtype)
            if key not in self._reruns:
                self._reruns[key] = open_segment(
                    self.program, [number], [o for o in proto.output if o], weights=self.weights,
                    biases={}, like=feed,  # type: ignore[arg-type]
                )  # fmt: skip
            return list(self._reruns[key](feed).values())  # type: ignore[arg-type]

        return call


def _include(
    found: dict[int, Gradient], site: Site, values: Mapping[str, Array], back: Array
) -> None:
    """Add what the gradient at a site's output means for its weights and bias."""
    weight: Array | float = 0.0
    bias: Array | float = 0.0
    for rows, felt in site.rows.blocks(values[site.x], back, 1):
        weight = weight + rows.transpose(0, 2, 1) @ felt
        bias = bias + felt.sum(axis=1)
    before = found.get(site.number)
    if before is not None:
        weight, bias = weight + before.weight, bias + before.bias
    found[site.number] = Gradient(np.asarray(weight), np.asarray(bias))
