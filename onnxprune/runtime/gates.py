"""Try many masks on one session: inputs of nodes are multiplied by what comes with every run.

Leave-one-out, random masks, levels of a group, whole branches: each is a run of the same session
with other factors, so nothing is built anew. A gate is a `Mask` whose factor is an input of the
session; `GatedNetwork` takes any of them (a scalar in front of the input of an Add turns a branch
off), `LabelGates` sets one wherever a channel is consumed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import helper

from onnxprune.core.kept import kept_at
from onnxprune.runtime.segment import Mask, mask_name, open_segment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from onnxprune.core.dependencies import Dependencies
    from onnxprune.core.labelling import Contraction
    from onnxprune.runtime.feeds import Array, Feed
    from onnxprune.runtime.segment import Program

    Outputs = list[dict[str, Array]]

__all__ = ["GatedNetwork", "LabelGates", "distortion"]

_FLOATS = "fc"


class GatedNetwork:
    """A network with gates, on some samples.

    Args:
        program: the graph.
        gates: where factors enter; `keep` of each is the factor that is taken when a run gives
            none, usually ones. It broadcasts against the input and has its type.
        feeds: samples, or batches of them.
        threads: threads within an operator.

    Attributes:
        original: outputs with all gates as they are, by batch.
    """

    def __init__(
        self, program: Program, gates: Sequence[Mask], feeds: Sequence[Feed], *, threads: int = 1
    ) -> None:
        self._open = {mask_name(g.step, g.position): g.keep for g in gates}
        self._feeds = [{k: v for k, v in f.items() if isinstance(v, np.ndarray)} for f in feeds]
        self._call = open_segment(
            program, range(len(program.steps)), program.outputs, weights={}, masks=gates,
            biases={}, like={**self._feeds[0], **self._open}, threads=threads,
        )  # fmt: skip
        self.original: Outputs = self.run({})

    def run(self, factors: Mapping[tuple[int, int], Array]) -> Outputs:
        """Return the outputs of every batch.

        Args:
            factors: what gates multiply with in this run, by node and position.
        """
        given = {mask_name(*place): factor for place, factor in factors.items()}
        return [self._call({**self._open, **given, **feed}) for feed in self._feeds]

    def distortion(self, factors: Mapping[tuple[int, int], Array]) -> float:
        """Return how far some factors take the outputs from the original ones."""
        return distortion(self.original, self.run(factors))


class LabelGates:
    """A network whose channels can be silenced by their labels.

    What is measured is what `rewrite.mask` writes, without building a model for every trial.
    Operators in bodies and those on quantised data have no gates.

    Args:
        program: the graph.
        deps: its analysis.
        feeds: samples, or batches of them.
    """

    def __init__(self, program: Program, deps: Dependencies, feeds: Sequence[Feed]) -> None:
        self._deps = deps
        self._types = dict(self._gateable(deps))
        everything = np.ones(len(deps.roots), bool)
        covered = np.zeros(len(deps.roots), bool)
        for contraction in self._types:
            key = contraction.node.inputs[contraction.position]
            for factor in deps.ctx.factors_of.get(key, ()):
                if set(factor.axes) & set(contraction.axes):
                    covered[deps.roots[factor.labels]] = True
        gates = [
            Mask(*place, np.ones_like(keep)) for place, keep in self._factors(everything).items()
        ]
        self._network = GatedNetwork(program, gates, feeds)
        self.covered: NDArray[np.bool_] = covered[deps.roots]
        """Whether a gate silences a label, by label."""

    def distortion(self, atoms: NDArray[np.int64]) -> float:
        """Return how far silencing some atoms takes the outputs from the original ones.

        Args:
            atoms: sets of labels.
        """
        return self._network.distortion(self._factors(self._deps.removed_labels(atoms)))

    @staticmethod
    def _gateable(deps: Dependencies) -> Iterator[tuple[Contraction, np.dtype[Any]]]:
        for contraction in deps.ctx.contractions:
            dtype = deps.settings[0].dtypes.get(contraction.node.inputs[contraction.position])
            if contraction.node.scope or dtype is None:
                continue
            kind = helper.tensor_dtype_to_np_dtype(dtype)
            if kind.kind in _FLOATS:
                yield contraction, kind

    def _factors(self, removed: NDArray[np.bool_]) -> dict[tuple[int, int], Array]:
        found: dict[tuple[int, int], Array] = {}
        for contraction, kind in self._types.items():
            keep = kept_at(self._deps, contraction, removed)
            if keep is None:
                continue
            place = contraction.node.index, contraction.position
            factor = keep.astype(kind)
            found[place] = factor * found[place] if place in found else factor
        return found


def distortion(original: Outputs, changed: Outputs) -> float:
    """Return the mean over outputs of the squared error relative to the variance.

    Where outputs are whole numbers it is the share that differs; an output of another shape, and a
    number that is no longer finite, count as wrong altogether: 1.

    Args:
        original: outputs by batch.
        changed: the same after a change.

    Example:
        >>> import numpy as np
        >>> a, b = np.array([0.0, 2.0]), np.array([0.0, 1.0])
        >>> distortion([{"y": a}], [{"y": b}])
        0.5
    """
    found = []
    for name in original[0]:
        pairs = [(a[name], b[name]) for a, b in zip(original, changed, strict=True)]
        if any(a.shape != b.shape for a, b in pairs):
            found.append(1.0)
            continue
        before, after = (np.concatenate([p[i].ravel() for p in pairs]) for i in (0, 1))
        if before.dtype.kind not in _FLOATS:
            found.append(float(np.mean(before != after)) if before.size else 0.0)
            continue
        with np.errstate(all="ignore"):
            before, after = before.astype(np.float64), after.astype(np.float64)
            finite = np.isfinite(before)
            if not finite.any():
                continue
            spread = float(np.square(before[finite] - before[finite].mean()).mean()) + 1e-30
            wrong = np.square(after[finite] - before[finite]) / spread
        found.append(float(np.where(np.isfinite(wrong), wrong, 1.0).mean()))
    return float(np.mean(found)) if found else 0.0
