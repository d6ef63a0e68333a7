"""Turn the answers of models into the parts of a report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from onnxprune.audit import statistics
from onnxprune.audit.document import Accuracy, Calibration, Corrupted, Exemplar, GroupEntry
from onnxprune.audit.images import channel_axis, thumbnail, value_range

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from onnxprune.audit.annotations import Annotations
    from onnxprune.audit.predictions import Answers, Spoiled
    from onnxprune.runtime.feeds import Feed

__all__ = ["Findings"]

_THUMBNAILS: Final = 24


class Findings:
    """What the answers of the models say.

    Args:
        feeds: the samples.
        answers: of the original, of the pruned model, and of its variants.
        labels: the class of each sample.
        groups: the subgroup of each sample, None without subgroups.
        seed: of resampling.

    Raises:
        InvalidConfigError: labels or subgroups do not fit the samples.
    """

    def __init__(
        self,
        feeds: Sequence[Feed],
        answers: Sequence[Answers],
        labels: Annotations,
        groups: Annotations | None,
        seed: int,
    ) -> None:
        self._feeds, self._seed, self._labels = feeds, seed, labels
        self._before, self._after, *_ = answers
        self.samples = len(self._before.classes)
        self._truth = np.array(labels.class_indices(self.samples, self._before.count))
        self._classes = [labels.class_name(index) for index in self._truth]
        self._groups = None if groups is None else groups.of(self.samples)
        variants = np.stack([a.classes for a in answers[1:]])
        self._shares, lost = statistics.flip_shares(self._before.classes, variants)
        self._lost = lost & (self._after.classes != self._before.classes)

    def _right(self, answers: Answers) -> NDArray[np.bool_]:
        return np.asarray(answers.classes == self._truth)

    def overall(self) -> Accuracy:
        """Return the accuracy over all samples."""
        before, after = self._right(self._before), self._right(self._after)
        interval = statistics.overall_interval(before, after, seed=self._seed)
        return _accuracy(before, after, interval)

    def flipped(self) -> float:
        """Return the share of the answers that are not the original's."""
        return _rounded((self._before.classes != self._after.classes).mean())

    def classes(self) -> list[GroupEntry]:
        """Return what became of each class, in the order of the model's output."""
        names = [self._labels.class_name(index) for index in range(self._before.count)]
        order = {name: index for index, name in enumerate(names)}
        return sorted(self._entries(self._classes), key=lambda entry: order[entry.name])

    def groups(self) -> list[GroupEntry]:
        """Return what became of each subgroup, by name."""
        return [] if self._groups is None else self._entries(self._groups)

    def _entries(self, groups: Sequence[str]) -> list[GroupEntry]:
        before, after = self._right(self._before), self._right(self._after)
        changes = statistics.compare_groups(before, after, groups, seed=self._seed)
        names = np.asarray(groups, dtype=np.str_)
        return [
            GroupEntry(
                name=c.name, samples=c.samples, excess=_rounded(c.excess),
                accuracy=Accuracy(
                    before=_rounded(c.before), after=_rounded(c.after),
                    drop=_rounded(c.before - c.after), ci95=_interval(c.drop_ci95),
                ),
                excess_ci95=_interval(c.excess_ci95), p_value=c.p_value, p_holm=c.p_holm,
                hurt=c.p_holm <= statistics.LEVEL,
                exemplars=int((self._lost & (names == c.name)).sum()),
            )
            for c in changes
        ]  # fmt: skip

    def exemplars(self) -> list[Exemplar]:
        """Return the samples that are lost, those that change most surely first."""
        sure = self._before.confidence + self._after.confidence
        numbers = np.flatnonzero(self._lost)
        order = np.lexsort((numbers, -sure[numbers], -self._shares[numbers]))
        pictures = _Pictures(self._feeds, self._before.rows)
        return [
            Exemplar(
                sample=int(n), label=self._classes[n],
                group=None if self._groups is None else self._groups[n],
                before=self._name(self._before, n), after=self._name(self._after, n),
                confidence_before=_rounded(self._before.confidence[n]),
                confidence_after=_rounded(self._after.confidence[n]),
                flip_share=_rounded(self._shares[n]),
                thumbnail=pictures.of(n) if place < _THUMBNAILS else None,
            )
            for place, n in enumerate(numbers[order])
        ]  # fmt: skip

    def _name(self, answers: Answers, number: int) -> str:
        index = int(answers.classes[number])
        return self._labels.class_name(index) if index >= 0 else "no answer"

    def calibration(self) -> Calibration:
        """Return how far confidence is from accuracy."""
        before, after = (
            _rounded(statistics.calibration_error(self._right(a), a.confidence))
            for a in (self._before, self._after)
        )
        return Calibration(before=before, after=after)

    def corrupted(self, key: Spoiled, answers: Sequence[Answers]) -> Corrupted:
        """Return the accuracy under a corruption."""
        before, after = (self._right(a) for a in answers)
        accuracy = _accuracy(before, after)
        return Corrupted(corruption=key[0], severity=key[1], accuracy=accuracy)


class _Pictures:
    """Thumbnails of samples, where the first image among the inputs shows them."""

    def __init__(self, feeds: Sequence[Feed], rows: NDArray[np.int64]) -> None:
        names = [name for name, v in feeds[0].items() if channel_axis(v) is not None]
        self._name = names[0] if names and (rows == 1).all() else None
        self._feeds = feeds
        self._range: Any = None

    def of(self, number: int) -> str | None:
        """Return the thumbnail of a sample, None where there is no image."""
        if self._name is None:
            return None
        image = self._feeds[number][self._name]
        if not isinstance(image, np.ndarray) or len(image) != 1:
            return None
        if self._range is None:
            self._range = value_range(self._feeds, self._name)
        return thumbnail(image, *self._range)


def _accuracy(
    before: NDArray[np.bool_], after: NDArray[np.bool_], interval: tuple[float, float] | None = None
) -> Accuracy:
    first, second = float(before.mean()), float(after.mean())
    return Accuracy(
        before=_rounded(first), after=_rounded(second), drop=_rounded(first - second),
        ci95=None if interval is None else _interval(interval),
    )  # fmt: skip


def _interval(interval: tuple[float, float]) -> tuple[float, float]:
    return _rounded(interval[0]), _rounded(interval[1])


def _rounded(number: float) -> float:
    return round(float(number), 6) + 0.0  # no negative zero
