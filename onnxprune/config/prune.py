"""The sections `run` and `prune`: one model from its file to its report."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from onnxprune.config.section import ConfigPath, Section

__all__ = ["BenchSection", "PruneSection", "RunSection"]

_Share = Annotated[float | None, Field(gt=0, lt=1)]


class RunSection(Section):
    """What `onnxprune run` works on."""

    model: ConfigPath | None = Field(None, description="The model.")
    output: ConfigPath | None = Field(None, description="Directory for everything that is made.")
    plan: ConfigPath | None = Field(
        None,
        description="Plan to carry out instead of making one; the model may have other weights "
        "than the one it was made for.",
    )


class PruneSection(Section):
    """What to remove and how: the options of `onnxprune prune`."""

    ratio: _Share = Field(None, description="Remove this share of every group.")
    remove_params: _Share = Field(None, description="Remove this share of the parameters.")
    remove_macs: _Share = Field(None, description="Remove this share of the MACs.")
    max_bytes: int | str | None = Field(None, description="Bring the file to this size.")
    max_latency_ratio: _Share = Field(
        None, description="Bring the measured time to this share of the original's."
    )
    max_drop: Annotated[float | None, Field(ge=0)] = Field(
        None, description="Remove as much as loses at most this."
    )
    provider: str | None = Field(None, description="Execution provider to be fast on.")
    threads: Annotated[int | None, Field(ge=0)] = Field(
        None, description="Threads to be fast with."
    )
    criterion: str | None = Field(None, description="What scores channels.")
    allocation: str | None = Field(None, description="Which group gives how much.")
    recovery: str | None = Field(None, description="How weights are repaired with samples.")
    coupling: Literal["constrained", "unconstrained", "auto"] | None = Field(
        None, description="Whether consumers of one value drop the same channels."
    )
    max_copies: Annotated[int | None, Field(ge=0)] = Field(
        None, description="Most Slice and Gather nodes that unconstrained pruning may add."
    )
    depth: int | Literal["auto"] | None = Field(
        None, description="Residual branches to remove whole."
    )
    allow_approximate: bool | None = Field(
        None, description="Prune groups as well whose removal changes a normalisation."
    )
    align: int | Literal["auto"] | None = Field(
        None, description="Keep a multiple of this many channels."
    )
    min_channels: Annotated[int | None, Field(ge=1)] = Field(
        None, description="Keep at least this many of every group."
    )
    max_group_ratio: Annotated[float | None, Field(gt=0, le=1)] = Field(
        None, description="Remove at most this share of any group."
    )
    exclude: list[str] | None = Field(None, description="Leave these groups alone.")
    only: list[str] | None = Field(None, description="Touch only these groups.")
    seed: Annotated[int | None, Field(ge=0)] = Field(
        None, description="Seed of all that is random."
    )
    calibration: ConfigPath | Literal["synthetic"] | None = Field(
        None, description="Unlabelled samples: .npz, .npy, a directory of them, or synthetic."
    )
    calibration_entry: str | None = Field(
        None, description="Python function that yields samples, as module:function."
    )
    samples: Annotated[int | None, Field(ge=1)] = Field(
        None, description="Take at most this many of the samples."
    )
    metric: str | None = Field(
        None, description="Python function that rates a model, as module:function."
    )
    dims: dict[str, Annotated[int, Field(ge=1)]] | None = Field(
        None, description="Sizes of symbolic input dimensions."
    )


class BenchSection(Section):
    """What to measure the result with: options of `onnxprune bench`."""

    providers: list[str] = Field(["cpu"], min_length=1, description="Execution providers.")
    threads: list[Annotated[int, Field(ge=0)]] = Field([1], description="Numbers of threads.")
    batch: Annotated[int | None, Field(ge=1)] = Field(None, description="Size of the batch.")
    time_budget: Annotated[float, Field(ge=0.1)] = Field(
        30.0, description="Seconds for one comparison."
    )
