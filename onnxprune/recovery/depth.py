"""Choose residual branches that leave as wholes, by what the outputs lose without them.

A gate in front of each addition turns a branch off; one session serves every trial. What several
branches cost together is not the sum of what each costs, so they are taken one by one: the cheapest
by its last known damage is measured again together with those that left before, and taken when it
is still the cheapest (lazy greedy, Minoux, Accelerated greedy algorithms, 1978). That block removal
by the distortion of the outputs works without training is ShortGPT's observation (Men et al. 2024,
arXiv:2403.03853); its score, the cosine between a block's input and output, is reported beside it.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from onnx import helper

from onnxprune.core.plan import PlanBranch
from onnxprune.errors import TargetError
from onnxprune.runtime.gates import GatedNetwork
from onnxprune.runtime.segment import Mask, open_segment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnxprune.core.branches import Branch
    from onnxprune.core.dependencies import Dependencies
    from onnxprune.runtime.feeds import Array, Feed
    from onnxprune.runtime.segment import Program

__all__ = ["Removed", "Thinner", "silence"]


@dataclass(frozen=True, slots=True)
class Removed:
    """A branch that leaves.

    Attributes:
        branch: the branch.
        damage: distortion of the outputs with it and those before it gone, relative to their
            variance.
        cosine: cosine between the stream before and after the addition.
    """

    branch: Branch
    damage: float
    cosine: float

    def entry(self) -> PlanBranch:
        """Return what a plan says of it."""
        score = {"distortion": round(self.damage, 6), "cosine": round(self.cosine, 6)}
        branch = self.branch
        return PlanBranch(
            id=branch.id, add=branch.node.outputs[0], value=branch.value,
            removed=list(branch.nodes), score=score,
        )  # fmt: skip


def silence(deps: Dependencies, branch: Branch) -> Mask:
    """Return the mask that zeroes a branch."""
    return Mask(branch.node.index, branch.position, _factor(deps, branch, 0))


def _factor(deps: Dependencies, branch: Branch, value: int) -> Array:
    dtype = helper.tensor_dtype_to_np_dtype(deps.settings[0].dtypes[branch.value])
    return np.full((), value, dtype)


class Thinner:
    """A network whose branches can be turned off.

    Args:
        program: the graph.
        deps: its analysis.
        branches: what may leave.
        feeds: samples, or batches of them.
    """

    def __init__(
        self,
        program: Program,
        deps: Dependencies,
        branches: Sequence[Branch],
        feeds: Sequence[Feed],
    ) -> None:
        self._program, self._deps, self._feeds = program, deps, feeds
        self.branches = tuple(branches)
        gates = [Mask(b.node.index, b.position, _factor(deps, b, 1)) for b in branches]
        self._network = GatedNetwork(program, gates, feeds)

    def damage(self, branches: Sequence[Branch]) -> float:
        """Return what the outputs lose without some branches."""
        return self._network.distortion(
            {(b.node.index, b.position): _factor(self._deps, b, 0) for b in branches}
        )

    def take(self, count: int) -> list[Removed]:
        """Choose branches that leave, the cheapest first.

        Args:
            count: how many.

        Raises:
            TargetError: there are not so many.
        """
        if count > len(self.branches):
            message = f"{count} residual branches are to leave, and there are {len(self.branches)}"
            raise TargetError(message, hint="`onnxprune analyze` lists them")
        queue = [(self.damage([b]), number, 0) for number, b in enumerate(self.branches)]
        heapq.heapify(queue)
        taken: list[tuple[Branch, float]] = []
        while len(taken) < count:
            damage, number, known = heapq.heappop(queue)
            branch = self.branches[number]
            if known < len(taken):
                together = [*(b for b, _ in taken), branch]
                heapq.heappush(queue, (self.damage(together), number, len(taken)))
                continue
            taken.append((branch, damage))
        return self.describe(taken)

    def describe(self, taken: Sequence[tuple[Branch, float]]) -> list[Removed]:
        """Return branches and their damage with the cosines of their streams."""
        cosines = self._cosines([b for b, _ in taken])
        return [Removed(b, d, c) for (b, d), c in zip(taken, cosines, strict=True)]

    def _cosines(self, branches: Sequence[Branch]) -> list[float]:
        """Compare the stream before and after each addition, on the first batch."""
        if not branches:
            return []
        pairs = [(b.node.inputs[1 - b.position], b.node.outputs[0]) for b in branches]
        feed = {k: v for k, v in self._feeds[0].items() if isinstance(v, np.ndarray)}
        inside = {o for step in self._program.steps for o in step.writes}
        wanted = {key for pair in pairs for key in pair if key in inside}
        call = open_segment(
            self._program, range(len(self._program.steps)), sorted(wanted), weights={}, biases={},
            like=feed,
        )  # fmt: skip
        values = {**feed, **call(feed)}
        found = []
        for before, after in pairs:
            x, y = (values[key].astype(np.float64).ravel() for key in (before, after))
            norms = float(np.linalg.norm(x) * np.linalg.norm(y))
            found.append(float(x @ y) / norms if norms else 1.0)
        return found
