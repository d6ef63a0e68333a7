"""The verb `prune`: all of them in a row."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from onnxprune.analysis import Analysis
from onnxprune.calibration import DEFAULT_SAMPLES
from onnxprune.errors import NothingToPruneError
from onnxprune.fidelity import Judge
from onnxprune.pipeline.copycosts import measured_costs
from onnxprune.pipeline.couplings import couplings, least_drop
from onnxprune.pipeline.drafting import Made, SampleOptions, make
from onnxprune.pipeline.drop import check_drop, search_drop
from onnxprune.pipeline.loading import ModelLike, analyze, load
from onnxprune.pipeline.output import Output, as_path, carry_out
from onnxprune.planning.options import PlanOptions, make_settings, requested
from onnxprune.planning.predictions import predicted_us
from onnxprune.stages import Progress, Stages
from onnxprune.verification import runnable_recipe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onnxprune.calibration import Source
    from onnxprune.fidelity import SearchStep
    from onnxprune.report.models import PruneReport

__all__ = ["prune"]


def prune(  # noqa: PLR0913  # as the command
    model: ModelLike,
    output: str | Path,
    *,
    dims: Mapping[str, int] | None = None,
    verify: bool = True,
    plan_out: str | Path | None = None,
    report: str | Path | None = None,
    calibration: Source | None = None,
    calibration_entry: str | None = None,
    samples: int = DEFAULT_SAMPLES,
    recovery: str = "least-squares",
    metric: str | None = None,
    max_drop: float | None = None,
    progress: Progress | None = None,
    **options: Unpack[PlanOptions],
) -> PruneReport:
    """Make a model smaller: analyze, plan, apply and verify.

    With samples, what leaves is chosen by what the network does on them, and the weights that stay
    are repaired by least squares; see `onnxprune.recovery.calibrated`. Every eighth sample is held
    back from both, and the report says how near the outputs on those stay.

    Args:
        model: a model, its file, or its analysis.
        output: where the pruned model is to appear.
        dims: sizes for symbolic dimensions of the inputs.
        verify: whether to compare with the masked original before anything is written.
        plan_out: where to write the plan.
        report: where to write the report as JSON.
        calibration: unlabelled samples: a .npz or .npy file or a directory of them, feeds, a
            function that yields feeds, or `synthetic` for made-up ones.
        calibration_entry: instead, "module:function" that yields feeds; it is imported and called.
        samples: how many of them are fitted on at most.
        recovery: name of the recovery: how weights are repaired with samples.
        metric: "module:function" that takes a function from feeds to outputs and returns a number,
            higher for a better model; called for the original and for the pruned model.
        max_drop: instead of another target: remove as much as keeps the metric, or the fidelity on
            held-back samples, within this.
        progress: called with the stage, and how much of how much is done.
        options: one target, and how to meet it; see `onnxprune.planning.options.PlanOptions`.

    Raises:
        InvalidModelError: the file is no usable model.
        InvalidConfigError: an option is out of its range, or a destination cannot be written.
        NothingToPruneError: nothing can leave.
        TargetError: the target is out of reach.
        VerificationError: the pruned model would not do what it should; nothing is written.

    Example:
        >>> import tempfile
        >>> from onnxprune.demo import MODEL
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     result = prune(MODEL, f"{folder}/small.onnx", ratio=0.5)
        >>> result.verified.exact, result.output.params < 0.4 * result.input.params
        (True, True)
    """
    stages = Stages(progress)
    given = SampleOptions.of(calibration, calibration_entry, samples, recovery)
    target = check_drop(options, max_drop, judged=given.source is not None or metric is not None)
    settings = make_settings(target, samples=given.source is not None)  # mistakes first
    out = Output(Path(output), verify=verify, report=as_path(report), plan=as_path(plan_out))
    with stages.stage("load"):
        source = load(model) if isinstance(model, str | Path) else model
    loaded = source.model if isinstance(source, Analysis) else source
    out.check(loaded)
    loaded.begin_digest()
    with stages.stage("analyze"):
        analysis = analyze(source, dims=dims)
    collected = given.collect(analysis, seed=options.get("seed", 0))
    judge = Judge(loaded, () if collected is None else collected.held, metric or "")
    judge.begin()
    with stages.stage("analyze"):
        choices = couplings(analysis, settings, target, judged=bool(judge.held or judge.metric))
        costs, _ = measured_costs(choices[-1], target)

    def trial(wanted: PlanOptions) -> Made:
        def draft(choice: Analysis) -> Made:
            with stages.stage("plan" if collected is None else "calibrate") as step:
                made = make(
                    choice, wanted, collected, recovery=recovery,
                    weights_name=f"{(out.plan or out.path).name}.safetensors",
                    data_name=f"{out.path.name}.data", progress=step,
                )  # fmt: skip
            stages.parts("calibrate", made.seconds)
            return made

        def time(made: Made) -> float:
            return predicted_us(made.analysis, made.draft.plan, costs)

        budget = settings.target.metric != "ratio"
        return least_drop(
            choices, draft, judge, beside=out.path, stages=stages, time=time if budget else None
        )

    steps: list[SearchStep] | None = None
    try:
        if max_drop is None:
            made = trial(target)
        else:
            made, steps = search_drop(
                trial, target, judge, max_drop, beside=out.path, stages=stages
            )
    except NothingToPruneError:
        if verify and collected is None:  # a model that cannot even run is not small, it is broken
            runnable_recipe(analysis)
        raise
    asked = requested(options) if max_drop is None else {"max_drop": max_drop}
    notes = () if collected is None else collected.notes
    return carry_out(made, out, stages, asked, judge=judge, steps=steps, notes=notes)
