"""What was found out about a pruned model's outputs, as parts of documents."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class OutputFidelity(BaseModel):
    """One output of the pruned model against the original's, over all samples.

    Attributes:
        output: name of the output.
        relative_error: norm of the difference over the norm of the original's; null for outputs
            that are no floating-point numbers.
        cosine: cosine of the angle between the two, likewise.
        top1_agreement: where the output holds class scores, fraction of the rows in which both
            models prefer the same class.
        kl: Kullback-Leibler divergence of the pruned model's class probabilities from the
            original's, in nats, mean over the rows.
        equal: fraction of equal elements of outputs that are whole numbers, flags or text.
        reshaped: samples for which the two outputs have different shapes; they count in nothing
            else.
        nonfinite: elements that are NaN or infinite in one of the two only.
        drop: the figure to watch: 1 - top1_agreement, 1 - equal or relative_error, what there is
            first; 1 at least where shapes differ or numbers stopped to be numbers.
    """

    model_config = ConfigDict(frozen=True)

    output: str
    relative_error: float | None = None
    cosine: float | None = None
    top1_agreement: float | None = None
    kl: float | None = None
    equal: float | None = None
    reshaped: int = 0
    nonfinite: int = 0
    drop: float = 0.0


class Fidelity(BaseModel):
    """A pruned model against its original.

    Attributes:
        samples: number of samples; none of them was used to choose or to repair.
        outputs: every output.
        drop: the largest drop of any output; 0 for a model that does the same.
    """

    model_config = ConfigDict(frozen=True)

    samples: int
    outputs: list[OutputFidelity]
    drop: float


class MetricChange(BaseModel):
    """A metric of the user's, before and after.

    Attributes:
        name: the function.
        before: of the original.
        after: of the pruned model.
        drop: before - after.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    before: float
    after: float
    drop: float


class SearchStep(BaseModel):
    """One trial of a search for the largest pruning that keeps what it should.

    Attributes:
        remove_macs: fraction of the multiply-accumulates that was to leave.
        drop: what was lost, null where so much cannot leave.
        kept: whether that is within the limit.
    """

    model_config = ConfigDict(frozen=True)

    remove_macs: float
    drop: float | None
    kept: bool
