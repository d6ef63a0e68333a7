"""The document that `audit --json` writes; fields may be added, never renamed."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from onnxprune.report.document import TOOL, Document

__all__ = ["Accuracy", "AuditReport", "Calibration", "Corrupted", "Exemplar", "GroupEntry"]


class Accuracy(Document):
    """Share of right answers.

    Attributes:
        before: of the original.
        after: of the pruned model.
        drop: before - after.
        ci95: 95 % bootstrap interval of the drop, null where none was made.
    """

    before: float
    after: float
    drop: float
    ci95: tuple[float, float] | None = None


class GroupEntry(Document):
    """A class or a subgroup.

    Attributes:
        name: its name.
        samples: how many samples it has.
        accuracy: its accuracy.
        excess: its drop minus the drop over all samples (psi).
        excess_ci95: 95 % bootstrap interval of the excess.
        p_value: exact permutation test: probability of such an excess or more by chance.
        p_holm: the same with Holm's correction over all classes, or over all subgroups.
        hurt: whether p_holm is at most the level: pruning took more from it than from the others.
        exemplars: how many of its samples are pruning-identified.
    """

    name: str
    samples: int
    accuracy: Accuracy
    excess: float
    excess_ci95: tuple[float, float]
    p_value: float
    p_holm: float
    hurt: bool
    exemplars: int


class Exemplar(Document):
    """A pruning-identified sample: most pruned models answer other than the original.

    Attributes:
        sample: its number in the data, from 0.
        label: its class.
        group: its subgroup, null without subgroups.
        before: the original's answer.
        after: the audited pruned model's answer.
        confidence_before: the probability that the original gave its answer.
        confidence_after: the same of the pruned model.
        flip_share: share of the pruned models that answer other than the original.
        thumbnail: the sample as a PNG in base64, where the input is an image; only the first have
            one.
    """

    sample: int
    label: str
    group: str | None
    before: str
    after: str
    confidence_before: float
    confidence_after: float
    flip_share: float
    thumbnail: str | None = Field(None, pattern="^[A-Za-z0-9+/]+=*$")


class Calibration(Document):
    """Expected calibration error: how far confidence is from accuracy.

    Attributes:
        before: of the original.
        after: of the pruned model.
        bins: number of bins of equal width.
    """

    before: float
    after: float
    bins: int = 15


class Corrupted(Document):
    """Accuracy on corrupted samples.

    Attributes:
        corruption: what was done to them.
        severity: how much, from 1 to 5.
        accuracy: of both models.
    """

    corruption: str
    severity: int
    accuracy: Accuracy


class AuditReport(Document):
    """What `audit --json` writes.

    Attributes:
        original: file of the original.
        pruned: file of the pruned model that is audited.
        variants: files of further pruned models; they only tell which answers stay changed.
        replicas: number of further pruned models that were made for this, on resampled data.
        output: the output with class scores.
        samples: number of samples.
        level: probability that any class (any subgroup) is called hurt where pruning treats all
            alike.
        accuracy: over all samples.
        classes: by class, those that there are samples of.
        groups: by subgroup.
        flipped: share of the samples that the pruned model answers other than the original.
        exemplars: the pruning-identified samples, those that change most surely first.
        calibration: expected calibration error.
        robustness: accuracy under corruptions, empty where none was asked for or none applies.
        notes: what the user should know.
        seconds: how long it took.
    """

    format: Literal["onnxprune.audit/1"] = "onnxprune.audit/1"
    tool: str = TOOL
    original: str
    pruned: str
    variants: list[str]
    replicas: int
    output: str
    samples: int
    level: float
    accuracy: Accuracy
    classes: list[GroupEntry]
    groups: list[GroupEntry]
    flipped: float
    exemplars: list[Exemplar]
    calibration: Calibration
    robustness: list[Corrupted]
    notes: list[str]
    seconds: float

    @property
    def hurt(self) -> list[GroupEntry]:
        """Classes and subgroups that pruning took more from than from the others."""
        return [entry for entry in (*self.groups, *self.classes) if entry.hurt]
