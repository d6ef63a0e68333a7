"""Run two models on the same samples and sum up how their outputs differ.

Meant for `run_isolated`: the models may be a stranger's. One sample is in memory at a time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.fidelity.document import Fidelity, OutputFidelity
from onnxprune.runtime.session import open_session, run_outputs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from onnxprune.fidelity.scores import ClassScores
    from onnxprune.runtime.feeds import Array, Feed

__all__ = ["measure"]


@dataclass(slots=True)
class _Sums:
    """Sums over the samples of one output."""

    scores: ClassScores | None
    error: float = 0.0
    first: float = 0.0
    second: float = 0.0
    product: float = 0.0
    numbers: int = 0
    rows: int = 0
    agreeing: int = 0
    divergence: float = 0.0
    elements: int = 0
    equal: int = 0
    reshaped: int = 0
    nonfinite: int = 0

    def add(self, original: Sequence[Array | None], pruned: Sequence[Array | None]) -> None:
        """Take in one sample: the arrays of an output, several for a sequence."""
        same = len(original) == len(pruned) and all(
            (a is None) == (b is None) and (a is None or b is None or a.shape == b.shape)
            for a, b in zip(original, pruned, strict=False)
        )
        if not same:
            self.reshaped += 1
            return
        for a, b in zip(original, pruned, strict=True):
            if a is None or b is None:
                continue
            if a.dtype.kind == "f" or a.dtype.name == "bfloat16":
                self._add_numbers(a.astype(np.float64), b.astype(np.float64))
            else:
                self.elements += a.size
                self.equal += int((a == b).sum())

    def _add_numbers(self, a: Array, b: Array) -> None:
        finite = np.isfinite(a) & np.isfinite(b)
        self.nonfinite += int((np.isfinite(a) != np.isfinite(b)).sum())
        if self.scores is not None and a.ndim > self.scores.axis and finite.all():
            self._add_scores(np.moveaxis(a, self.scores.axis, -1),
                             np.moveaxis(b, self.scores.axis, -1))  # fmt: skip
        x, y = a[finite], b[finite]
        self.numbers += x.size
        self.error += float(np.square(y - x).sum())
        self.first += float(np.square(x).sum())
        self.second += float(np.square(y).sum())
        self.product += float((x * y).sum())

    def _add_scores(self, a: Array, b: Array) -> None:
        assert self.scores is not None
        if a.shape[-1] < 2:
            return
        self.rows += math.prod(a.shape[:-1])
        self.agreeing += int((a.argmax(axis=-1) == b.argmax(axis=-1)).sum())
        p, q = (_log_probabilities(v, self.scores.kind) for v in (a, b))
        self.divergence += float((np.exp(p) * (p - q)).sum())

    def result(self, name: str) -> OutputFidelity:
        """Return what the sums say."""
        error = cosine = agreement = divergence = equal = None
        if self.numbers:
            error = _root_ratio(self.error, self.first)
            both = math.sqrt(self.first) * math.sqrt(self.second)
            cosine = self.product / both if both else float(self.first == self.second)
        if self.rows:
            agreement = self.agreeing / self.rows
            divergence = max(0.0, self.divergence / self.rows)
        if self.elements:
            equal = self.equal / self.elements
        first = (
            1 - agreement if agreement is not None else 1 - equal if equal is not None else error
        )
        drop = first or 0.0
        if self.reshaped or self.nonfinite:
            drop = max(drop, 1.0)
        return OutputFidelity(
            output=name, relative_error=_rounded(error), cosine=_rounded(cosine),
            top1_agreement=_rounded(agreement), kl=_rounded(divergence), equal=_rounded(equal),
            reshaped=self.reshaped, nonfinite=self.nonfinite, drop=_rounded(drop) or 0.0,
        )  # fmt: skip


def measure(
    *,
    original: Path,
    pruned: Path,
    feeds: Sequence[Feed],
    scores: Mapping[str, ClassScores],
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Fidelity:
    """Run both models on every sample.

    Args:
        original: the original.
        pruned: the pruned model.
        feeds: the samples.
        scores: outputs that hold class scores.
        threads: threads within an operator.
        progress: called with (done, total).
    """
    sessions = [open_session(path, optimize=True, threads=threads) for path in (original, pruned)]
    sums: dict[str, _Sums] = {}
    for number, feed in enumerate(feeds):
        first, second = (run_outputs(session, feed) for session in sessions)
        for name, arrays in first.items():
            sums.setdefault(name, _Sums(scores.get(name))).add(arrays, second.get(name, []))
        if progress is not None:
            progress(number + 1, len(feeds))
    outputs = [s.result(name) for name, s in sums.items()]
    return Fidelity(
        samples=len(feeds), outputs=outputs, drop=max((o.drop for o in outputs), default=0.0)
    )


def _log_probabilities(values: Array, kind: str) -> Array:
    if kind == "probabilities":
        return np.asarray(np.log(np.clip(values, 1e-12, None)))
    shifted = values - values.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def _root_ratio(part: float, whole: float) -> float:
    return math.sqrt(part / whole) if whole else float(part > 0)


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 6)
