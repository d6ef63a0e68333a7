"""The verb `plan`, and what a plan does to streams."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from onnxprune.analysis.expansion import couple
from onnxprune.calibration import DEFAULT_SAMPLES
from onnxprune.errors import InvalidConfigError
from onnxprune.io.outfile import check_destination
from onnxprune.pipeline.copycosts import measured_costs
from onnxprune.pipeline.couplings import couplings
from onnxprune.pipeline.drafting import SampleOptions, make
from onnxprune.pipeline.loading import ModelLike, analyze
from onnxprune.pipeline.output import plan_of, write_plan
from onnxprune.planning.layouts import read_layout
from onnxprune.planning.options import PlanOptions, make_settings, requested
from onnxprune.planning.plans import check_plan
from onnxprune.planning.predictions import predict
from onnxprune.report.streams import OrderReport, stream_entries
from onnxprune.stages import Progress, Stages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onnxprune.calibration import Source
    from onnxprune.core.plan import PrunePlan

__all__ = ["make_plan", "order", "plan"]


def plan(
    model: ModelLike,
    *,
    dims: Mapping[str, int] | None = None,
    output: str | Path | None = None,
    calibration: Source | None = None,
    calibration_entry: str | None = None,
    samples: int = DEFAULT_SAMPLES,
    recovery: str = "least-squares",
    progress: Progress | None = None,
    **options: Unpack[PlanOptions],
) -> PrunePlan:
    """Choose what leaves, such that it can be carried out.

    Args:
        model: a model, its file, or its analysis.
        dims: sizes for symbolic dimensions of the inputs.
        output: where to write the plan; repaired weights go beside it.
        calibration: unlabelled samples, as for `prune`.
        calibration_entry: the same as "module:function", as for `prune`.
        samples: how many of them are fitted on at most.
        recovery: how weights are repaired with samples.
        progress: called with the stage, and how much of how much is done.
        options: one target, and how to meet it; see `onnxprune.planning.options.PlanOptions`.

    Raises:
        InvalidConfigError: an option is out of its range, or weights would be repaired and there
            is no `output` for them.
        NothingToPruneError: nothing can leave.
        TargetError: the target is out of reach.

    Example:
        >>> from onnxprune.demo import MODEL
        >>> plan(MODEL, remove_macs=0.3, criterion="l1").predicted["macs"] <= 0.7
        True
    """
    stages = Stages(progress)
    given = SampleOptions.of(calibration, calibration_entry, samples, recovery)
    settings = make_settings(options, samples=given.source is not None)  # mistakes first
    if given.source is not None and recovery != "none" and output is None:
        message = "a plan made with samples has repaired weights, which lie beside its file"
        raise InvalidConfigError(message, hint="give it a file, or recovery none")
    with stages.stage("analyze"):
        [analysis] = couplings(analyze(model, dims=dims), settings, options, judged=False)
    if output is not None:
        check_destination(Path(output), analysis.model.identities)
    collected = given.collect(analysis, seed=options.get("seed", 0))
    name = "" if output is None else Path(output).name
    with stages.stage("plan" if collected is None else "calibrate") as step:
        made = make(
            analysis, options, collected, recovery=recovery, weights_name=f"{name}.safetensors",
            data_name=analysis.model.path.name, progress=step,
        )  # fmt: skip
    if output is not None:
        with ExitStack() as files:
            write_plan(files, made.draft.plan, Path(output), made.weights)
    return made.draft.plan


make_plan = plan  # where `plan` is the name of an argument


def order(
    model: ModelLike,
    *,
    plan: PrunePlan | str | Path | None = None,
    dims: Mapping[str, int] | None = None,
    progress: Progress | None = None,
    **options: Unpack[PlanOptions],
) -> OrderReport:
    """Show what the consumers of every stream read of it, in which order it stands, and the time.

    Args:
        model: a model, its file, or its analysis.
        plan: an unconstrained plan or its file; without it one is made by the options.
        dims: sizes for symbolic dimensions of the inputs.
        progress: called with the stage, and how much of how much is done.
        options: one target, and how to meet it, where no plan is given.

    Raises:
        InvalidConfigError: a plan and a target are given, or none of them.
        PlanMismatchError: the plan is for another model.
    """
    stages = Stages(progress)
    if plan is not None and requested(options):
        message = f"a plan is given, and {' and '.join(requested(options))} as well"
        raise InvalidConfigError(message, hint="give one of them")
    if plan is None:
        plan = make_plan(model, dims=dims, progress=progress, **options)
    with stages.stage("analyze"):
        wanted, _ = plan_of(plan)
        analysis = couple(analyze(model, dims=dims), wanted.coupling, wanted.forks)
        check_plan(analysis, wanted)
        removed = analysis.removed_labels(wanted)
        layout = read_layout(analysis.deps, removed, wanted)
        costs, _ = measured_costs(analysis, options)
        times = predict(analysis, wanted, costs=costs) if analysis.forks else {}
    return OrderReport(streams=stream_entries(analysis, layout), predicted_us=times)
