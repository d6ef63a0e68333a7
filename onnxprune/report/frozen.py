"""What stays and why: reasons of the analysis, weighed by what they hold back."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.core.cuts import Cuts
from onnxprune.report.models import FrozenEntry
from onnxprune.report.shares import labels_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from onnxprune.analysis import Analysis
    from onnxprune.core.labelling import FrozenReason

_INCIDENTAL = "kernel axes stay"
"""Holds for every convolution, so it explains nothing where there is another reason."""


@dataclass(slots=True)
class _Weight:
    channels: int = 0
    params: int = 0
    macs: int = 0
    parameters: set[tuple[str, int]] = field(default_factory=set)


def frozen_entries(analysis: Analysis) -> list[FrozenEntry]:
    """Return every reason at every place, those that hold back most first.

    A weight that stays for several reasons counts for each of them.
    """
    return _Frozen(analysis).entries()


class _Frozen:
    def __init__(self, analysis: Analysis) -> None:
        self._analysis = analysis
        deps = analysis.deps
        self._reasons: list[FrozenReason] = list(dict.fromkeys(deps.frozen.values()))
        number = {reason: i for i, reason in enumerate(self._reasons)}
        self._number_of = np.full(len(deps.roots), -1)
        for root, reason in deps.frozen.items():
            self._number_of[root] = number[reason]
        self._weights = [_Weight() for _ in self._reasons]

    def entries(self) -> list[FrozenEntry]:
        """Weigh the reasons and list them."""
        for root in self._analysis.deps.frozen:
            self._weights[self._number_of[root]].channels += 1
        gone = labels_of(self._analysis, self._analysis.deps.groups)
        self._weigh_parameters(gone)
        self._weigh_nodes(gone)
        found = [
            FrozenEntry(
                value=r.value, axis=r.axis, node=r.node, op=r.op, reason=r.reason,
                channels=w.channels, params=w.params, macs=w.macs,
                parameters=sorted(w.parameters),
            )
            for r, w in zip(self._reasons, self._weights, strict=True)
        ]  # fmt: skip
        return sorted(found, key=lambda e: (-e.params, -e.macs, -e.channels))

    def _weigh_parameters(self, gone: NDArray[np.bool_]) -> None:
        """Share out what remains of each parameter once every group has left."""
        deps = self._analysis.deps
        cuts = Cuts(deps.ctx, gone, deps.settings[0])
        shares: dict[str, dict[int, float]] = defaultdict(dict)
        for part in deps.slices:
            if part.parameter not in deps.ctx.parameters:
                continue  # a constant that a node makes
            numbers = self._number_of[part.roots]
            held, counts = np.unique(numbers[numbers >= 0], return_counts=True)
            name = self._analysis.copies.get(part.parameter, part.parameter)
            for number, count in zip(held.tolist(), counts.tolist(), strict=True):
                self._weights[number].parameters.add((name, part.axes[-1]))
                share = min(1.0, count / max(1, cuts.size(part.parameter, part.axes[-1])))
                shares[part.parameter][number] = max(share, shares[part.parameter].get(number, 0))
        for key, by_reason in shares.items():
            remaining = int(np.prod(cuts.shape(key), dtype=np.int64))
            for number in self._telling(by_reason):
                self._weights[number].params += round(remaining * by_reason[number])

    def _weigh_nodes(self, gone: NDArray[np.bool_]) -> None:
        deps = self._analysis.deps
        remaining = self._analysis.cost_model.by_node(gone)
        for node in deps.graph.all_nodes():
            macs = remaining.pop(f"{node.scope}{node.name}", 0)
            if not macs:
                continue
            held: set[int] = set()
            for key in node.inputs:
                for factor in deps.ctx.factors_of.get(key, ()):
                    held |= set(np.unique(self._number_of[deps.roots[factor.labels]]).tolist())
            for number in self._telling(held - {-1}):
                self._weights[number].macs += macs

    def _telling(self, numbers: Iterable[int]) -> list[int]:
        numbers = list(numbers)
        telling = [n for n in numbers if self._reasons[n].reason != _INCIDENTAL]
        return telling or numbers
