"""The section `check`: what a pruned model must keep to, and what it is measured with."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from onnxprune.config.section import ConfigPath, Metavar, Section

__all__ = ["CheckSection", "Limits", "PerProvider"]


def _proof(value: object) -> object:
    return {True: "exact", False: None}.get(value, value) if isinstance(value, bool) else value


_Ratio = Annotated[float | None, Field(gt=0), Metavar("R")]
_Count = Annotated[int | None, Field(gt=0), Metavar("N")]
_Size = Annotated[int | str | None, Metavar("SIZE")]
_Amount = Annotated[float | None, Field(ge=0), Metavar("X")]
_Share = Annotated[float | None, Field(ge=0, le=1), Metavar("X")]
_Number = Annotated[float | None, Metavar("X")]
_File = Annotated[ConfigPath | None, Metavar("FILE")]
_Positive = Annotated[float, Field(gt=0)]
_PositiveShare = Annotated[float, Field(gt=0, le=1)]
_Ratios = Annotated[dict[str, _Positive], Field(min_length=1)]
_Shares = Annotated[dict[str, _PositiveShare], Field(min_length=1)]

PerProvider = float | dict[str, float]
"""One number for every provider, or one for each by its name."""


class Limits(Section):
    """The limits. Each is checked if it is given; ratios are PRUNED divided by the baseline."""

    verified: Annotated[
        Literal["exact", "approximate"] | None, BeforeValidator(_proof), Metavar("KIND")
    ] = Field(
        None,
        description="PRUNED is proven to be the baseline without the removed channels: `true` or "
        "`exact`; `approximate` also where removal changes a normalisation.",
    )
    provenance: bool = Field(
        default=False,
        description="PRUNED says that it was made from this baseline, and by `plan` if one is "
        "given.",
    )
    plan_sha256: Annotated[str | None, Metavar("DIGEST")] = Field(
        None, pattern="^[0-9a-f]{64}$", description="Digest of the plan that PRUNED was made with."
    )
    max_macs_ratio: _Ratio = Field(None, description="Most multiply-accumulates.")
    max_params_ratio: _Ratio = Field(None, description="Most parameters.")
    max_bytes_ratio: _Ratio = Field(None, description="Largest file, with its data files.")
    max_macs: _Count = Field(
        None, description="Most multiply-accumulates of a run, at the sizes of `dims`."
    )
    max_params: _Count = Field(None, description="Most parameters.")
    max_bytes: _Size = Field(
        None, description="Largest file, with its data files: 500000, 10MB or 9.5MiB."
    )
    allow_ops: Annotated[list[str] | None, Metavar("OP", many=True)] = Field(
        None,
        min_length=1,
        description="The only operators: names, with `domain.` in front outside of ai.onnx; `*` "
        "stands for anything.",
    )
    allow_opsets: Annotated[list[int | str] | None, Metavar("N", many=True)] = Field(
        None, min_length=1, description="The only opsets: 17, or `domain:1` outside of ai.onnx."
    )
    max_latency_ratio: Annotated[_Positive | _Ratios | None, Metavar("[PROVIDER=]R", many=True)] = (
        Field(
            None,
            description="Upper end that the interval of the latency may have; for every provider, "
            "or by name.",
        )
    )
    max_load_ratio: _Ratio = Field(
        None, description="Upper end that the interval of the load time may have."
    )
    max_memory_ratio: _Ratio = Field(
        None, description="Most memory that loading and running adds to a process."
    )
    max_memory: _Size = Field(
        None, description="Largest memory of a process that loads and runs PRUNED."
    )
    min_provider_share: Annotated[
        _PositiveShare | _Shares | None, Metavar("[PROVIDER=]X", many=True)
    ] = Field(None, description="Least share of the nodes that runs on the provider.")
    max_relative_error: _Amount = Field(
        None,
        description="Largest norm of the difference of an output on `test-data`, relative to the "
        "output's.",
    )
    min_agreement: _Share = Field(
        None, description="Least share of `test-data` with the same answer (largest entry)."
    )
    min_cosine: Annotated[float | None, Field(ge=-1, le=1), Metavar("X")] = Field(
        None, description="Least mean cosine of an output on `test-data`."
    )
    max_kl: _Amount = Field(
        None,
        description="Largest mean Kullback-Leibler divergence of an output on `test-data`, in "
        "nats.",
    )
    max_metric_drop: _Number = Field(
        None, description="Most that `metric` may fall below the baseline's."
    )
    min_metric: _Number = Field(None, description="Least value of `metric`.")
    max_group_drop: _Number = Field(
        None,
        description="Most that the accuracy of any subgroup (of any class where there are no "
        "`groups`) may fall below the baseline's, on all of `test-data`.",
    )


class CheckSection(Limits):
    """Limits, and what they are measured with."""

    baseline: _File = Field(
        None, description="The original; it is measured anew beside PRUNED, on the same machine."
    )
    plan: _File = Field(None, description="The plan that PRUNED was made with.")
    test_data: _File = Field(
        None, description="Samples for the fidelity: .npz, .npy or a directory of them."
    )
    samples: Annotated[int | None, Metavar("N")] = Field(
        None, ge=1, description="Take at most this many of the samples; all by default."
    )
    labels: _File = Field(
        None, description="The class of each sample of `test-data`: .npy, .npz, .json or .csv."
    )
    groups: _File = Field(None, description="The subgroup of each sample, likewise.")
    metric: Annotated[str | None, Metavar("MODULE:FUNCTION")] = Field(
        None,
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$",
        description="Python function of yours that runs a model and returns a number, more is "
        "better; as for `prune`.",
    )
    providers: Annotated[list[str], Metavar("SPEC", many=True)] = Field(
        ["cpu"], min_length=1, description="Where to measure, as name[:option=value,...]."
    )
    threads: Annotated[int, Metavar("N")] = Field(
        1, ge=0, description="Threads within an operator, 0 leaves it to the runtime."
    )
    batch: Annotated[int | None, Metavar("N")] = Field(
        None, ge=1, description="Size of the batch where it is open; 1 by default."
    )
    dims: Annotated[dict[str, Annotated[int, Field(ge=1)]], Metavar("N=1,T=64")] = Field(
        default_factory=dict, description="Sizes of symbolic input dimensions."
    )
    time_budget: Annotated[float, Metavar("S")] = Field(
        30.0, ge=0.1, description="Seconds for the first attempt at a comparison of latencies."
    )
    retries: Annotated[int, Metavar("N")] = Field(
        2, ge=0, le=5, description="How often an undecided comparison is repeated, with twice the "
        "time each."
    )  # fmt: skip
    on_inconclusive: Annotated[Literal["pass", "fail"] | None, Metavar("WHAT")] = Field(
        None,
        description="What stays undecided: pass or fail; by default exit status 3. What could not "
        "be measured never passes.",
    )
    seed: Annotated[int, Metavar("N")] = Field(
        0, ge=0, description="Seed of made-up inputs and of the order of runs."
    )
