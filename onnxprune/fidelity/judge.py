"""Judge a pruned file: by its outputs on held-back samples, and by a metric of the user's."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from onnxprune.fidelity.document import Fidelity, MetricChange, SearchStep
from onnxprune.fidelity.metric import check_metric, measure_metric
from onnxprune.fidelity.scores import find_class_scores
from onnxprune.io import Model, load_model
from onnxprune.runtime.isolate import run_isolated

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from onnxprune.runtime.feeds import Feed

    Progress = Callable[[int, int], None]

__all__ = ["Judge", "Judgement", "fidelity"]

TIMEOUT_S: Final = 3600.0
MEMORY_BYTES: Final = 16 << 30


def fidelity(
    original: Model | str | Path,
    pruned: str | Path,
    feeds: Sequence[Feed],
    *,
    threads: int = 1,
    progress: Progress | None = None,
) -> Fidelity:
    """Compare the outputs of a pruned model with the original's, in a child process.

    Args:
        original: the original or its file.
        pruned: the pruned model's file.
        feeds: samples, one run of the models each.
        threads: threads within an operator.
        progress: called with (done, total).

    Raises:
        InvalidModelError: a file is no usable model, or does not run on a sample.
        IsolationError: a model crashed, or ran into a limit.

    Example:
        >>> from onnxprune.demo import MODEL, load_digits
        >>> found = fidelity(MODEL, MODEL, [{"image": load_digits()[0][:4]}])
        >>> found.outputs[0].top1_agreement, found.drop
        (1.0, 0.0)
    """
    model = original if isinstance(original, Model) else load_model(original)
    found: Fidelity = run_isolated(
        "onnxprune.fidelity.measure:measure",
        {
            "original": model.path, "pruned": Path(pruned), "feeds": list(feeds),
            "scores": find_class_scores(model.proto), "threads": threads,
        },
        timeout_s=TIMEOUT_S, memory_limit_bytes=MEMORY_BYTES, progress=progress, task="fidelity",
    )  # fmt: skip
    return found


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is known of a pruned file.

    Attributes:
        fidelity: its outputs on held-back samples, if there were any.
        metric: the user's metric, if there is one.
        search: the trials that led to the file, if it was searched for.
    """

    fidelity: Fidelity | None = None
    metric: MetricChange | None = None
    search: list[SearchStep] | None = None

    @property
    def drop(self) -> float | None:
        """What was lost: of the metric, else of the fidelity, None where nothing was measured."""
        if self.metric is not None:
            return self.metric.drop
        return None if self.fidelity is None else self.fidelity.drop


@dataclass(slots=True)
class Judge:
    """Judges files against one original.

    Attributes:
        original: the original.
        held: samples that nothing was fitted to.
        metric: the user's metric as "module:function", "" for none.
    """

    original: Model
    held: Sequence[Feed] = ()
    metric: str = ""
    _before: list[float] = field(default_factory=list)

    def begin(self) -> None:
        """Measure the original with the user's metric: its mistakes show before any work is done.

        Raises:
            InvalidConfigError: there is no such metric, or it fails.
        """
        if self.metric and not self._before:
            check_metric(self.metric)
            self._before.append(measure_metric(self.metric, self.original.path))

    def judge(self, pruned: Path, *, progress: Progress | None = None) -> Judgement:
        """Judge a file.

        Args:
            pruned: the pruned model's file.
            progress: called with (done, total).
        """
        found = change = None
        if self.held:
            found = fidelity(self.original, pruned, self.held, progress=progress)
        if self.metric:
            self.begin()
            before, after = self._before[0], measure_metric(self.metric, pruned)
            change = MetricChange(name=self.metric, before=before, after=after, drop=before - after)
        return Judgement(found, change)
