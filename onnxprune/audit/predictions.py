"""What models answer: the preferred class of every sample, and how sure they are.

Meant for `run_isolated`: the models may be a stranger's. One sample is in memory at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.audit.corruption import Corruptor
from onnxprune.errors import InvalidModelError, printable
from onnxprune.runtime.session import open_session, run_outputs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from onnxprune.fidelity.scores import ClassScores
    from onnxprune.runtime.feeds import Array, Feed
    from onnxprune.runtime.session import Session

__all__ = ["NO_ANSWER", "Answers", "Spoiled", "predict"]

NO_ANSWER = -1
"""The class of a sample whose scores are no numbers."""

Spoiled = tuple[str, int]
"""A corruption and its severity."""


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers of one model on one version of the data.

    Attributes:
        classes: [n] index of the preferred class, `NO_ANSWER` where scores are no numbers.
        confidence: [n] its probability.
        rows: [feeds] how many samples each feed holds.
        count: number of classes.
    """

    classes: NDArray[np.int64]
    confidence: NDArray[np.float64]
    rows: NDArray[np.int64]
    count: int


def predict(
    *,
    models: Sequence[Path],
    feeds: Sequence[Feed],
    output: str,
    scores: ClassScores,
    corruptions: Sequence[Spoiled] = (),
    seed: int = 0,
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[Answers], dict[Spoiled, list[Answers]]]:
    """Run models on every sample.

    Args:
        models: the original, the pruned model, and variants of it.
        feeds: the samples.
        output: the output with class scores.
        scores: how it holds them.
        corruptions: the first two models run on these versions of the samples as well.
        seed: of corruptions.
        threads: threads within an operator.
        progress: called with (done, total).

    Returns:
        The answers of each model; and those of the first two by corruption.

    Raises:
        InvalidModelError: a model does not run, or has other classes than the first.
    """
    total = len(feeds) * (len(models) + 2 * len(corruptions))
    done = 0

    def seen(feeds: Iterable[Feed]) -> Iterable[Feed]:
        nonlocal done
        for feed in feeds:
            yield feed
            done += 1
            if progress is not None:
                progress(done, total)

    corruptor = Corruptor(feeds, seed=seed) if corruptions else None
    clean: list[Answers] = []
    spoiled: dict[Spoiled, list[Answers]] = {key: [] for key in corruptions}
    for number, path in enumerate(models):
        session = open_session(path, optimize=True, threads=threads)
        clean.append(_answers(session, seen(feeds), output, scores, path))
        _require_same(clean[0], clean[-1], path)
        if number > 1 or corruptor is None:
            continue
        for key in corruptions:
            versions = (corruptor.corrupt(feed, i, *key) for i, feed in enumerate(feeds))
            spoiled[key].append(_answers(session, seen(versions), output, scores, path))
    return clean, spoiled


def _answers(
    session: Session, feeds: Iterable[Feed], output: str, scores: ClassScores, path: Path
) -> Answers:
    classes, confidence = [], []
    count = None
    for feed in feeds:
        values = run_outputs(session, feed).get(output, [])
        if len(values) != 1 or values[0] is None or values[0].ndim <= scores.axis:
            message = f"'{printable(path)}': output '{printable(output)}' has no class scores"
            raise InvalidModelError(message)
        rows = np.moveaxis(values[0], scores.axis, -1).astype(np.float64)
        if count is not None and rows.shape[-1] != count:
            message = f"'{printable(path)}': output '{printable(output)}' has {count} classes for "
            message += f"one sample and {rows.shape[-1]} for another"
            raise InvalidModelError(message)
        count = rows.shape[-1]
        rows = rows.reshape(-1, count)
        known = np.isfinite(rows).all(axis=1)
        likely = np.where(known, _probabilities(rows, scores.kind).max(axis=1), 0.0)
        classes.append(np.where(known, rows.argmax(axis=1), NO_ANSWER))
        confidence.append(np.clip(likely, 0.0, 1.0))
    return Answers(
        np.concatenate(classes), np.concatenate(confidence),
        np.array([len(part) for part in classes]), count or 0,
    )  # fmt: skip


def _probabilities(rows: Array, kind: str) -> Array:
    rows = np.where(np.isfinite(rows), rows, 0.0)
    if kind == "probabilities":
        return rows
    weights = np.exp(rows - rows.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _require_same(first: Answers, other: Answers, path: Path) -> None:
    if np.array_equal(first.rows, other.rows) and first.count == other.count:
        return
    message = f"'{printable(path)}' answers {len(other.classes)} samples with {other.count} classes"
    message += f", the original {len(first.classes)} with {first.count}"
    raise InvalidModelError(message, hint="give the original that it was made from")
