"""The verbs: load, analyze, plan, apply, verify, prune, benchmark.

Each takes what the one before it returns, or a file; `prune` runs them all. The command line does
nothing that these functions do not.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from onnxprune.analysis import Analysis, analyze_model
from onnxprune.bench.protocol import Protocol
from onnxprune.bench.run import benchmark as run_benchmark
from onnxprune.calibration import DEFAULT_SAMPLES
from onnxprune.core.plan import PrunePlan
from onnxprune.couplings import couplings, least_drop
from onnxprune.drafting import Made, SampleOptions, make
from onnxprune.drop import check_drop, search_drop
from onnxprune.errors import (
    InvalidConfigError,
    NothingToPruneError,
    PlanMismatchError,
    VerificationError,
    printable,
)
from onnxprune.expansion import couple
from onnxprune.fidelity import Judge, Judgement
from onnxprune.io import Model, load_model, write_model
from onnxprune.io.outfile import check_destination, new_files
from onnxprune.pair import verify_pair
from onnxprune.planning.layouts import read_layout
from onnxprune.planning.options import PlanOptions, make_settings, requested
from onnxprune.planning.plans import check_plan, draft_of, read_plan, transfer_plan
from onnxprune.recovery.repaired import with_repaired_weights
from onnxprune.report.pruning import report_pruning
from onnxprune.report.streams import StreamEntry, stream_entries
from onnxprune.stages import Progress, Stages
from onnxprune.staging import Staging
from onnxprune.state_dict import StateDictReport, slice_state_dict
from onnxprune.targets import parse_target
from onnxprune.verification import Verification, require_runnable, verify_cut

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onnxprune.bench.document import BenchReport
    from onnxprune.calibration import Source
    from onnxprune.fidelity import SearchStep
    from onnxprune.report.models import PruneReport, VerifyReport

__all__ = [
    "analyze",
    "apply",
    "apply_to_state_dict",
    "benchmark",
    "load",
    "plan",
    "prune",
    "verify",
]

ModelLike = Analysis | Model | str | Path


def load(path: str | Path) -> Model:
    """Read and check a model; its weights stay in the file.

    Raises:
        InvalidModelError: the file is no usable model.

    Example:
        >>> from onnxprune.demo import MODEL
        >>> load(MODEL).proto.graph.input[0].name
        'image'
    """
    return load_model(path)


def analyze(model: ModelLike, *, dims: Mapping[str, int] | None = None) -> Analysis:
    """Find the coupled groups of a model, and what stays with the reason.

    Args:
        model: a model or its file; an analysis is returned as it is.
        dims: sizes for symbolic dimensions of the inputs.

    Raises:
        InvalidModelError: the file is no usable model.
        InvalidConfigError: `dims` names a dimension that there is not.

    Example:
        >>> from onnxprune.demo import MODEL
        >>> [group.size for group in analyze(MODEL).deps.groups][:3]
        [64, 32, 32]
    """
    return model if isinstance(model, Analysis) else analyze_model(model, dims=dims)


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
        [analysis] = couplings(analyze(model, dims=dims), settings, judged=False)
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
            _write_plan(files, made.draft.plan, Path(output), made.weights)
    return made.draft.plan


def apply(  # noqa: PLR0913  # as the command
    model: ModelLike,
    plan: PrunePlan | str | Path,
    output: str | Path,
    *,
    dims: Mapping[str, int] | None = None,
    verify: bool = True,
    retrained: bool = False,
    plan_out: str | Path | None = None,
    report: str | Path | None = None,
    progress: Progress | None = None,
) -> PruneReport:
    """Carry out a plan: write the pruned model, once it is proven right.

    Args:
        model: the model that the plan was made for, its file, or its analysis.
        plan: the plan or its file.
        output: where the pruned model is to appear.
        dims: sizes for symbolic dimensions of the inputs.
        verify: whether to compare with the masked original before anything is written.
        retrained: whether the model may have other weights than the one the plan was made for.
        plan_out: where to write the plan as it was carried out.
        report: where to write the report as JSON.
        progress: called with the stage, and how much of how much is done.

    Raises:
        PlanMismatchError: the plan is for another model, or cannot be carried out.
        VerificationError: the pruned model would not do what it should; nothing is written.
        InvalidConfigError: a destination cannot be written.
    """
    stages = Stages(progress)
    out = Output(Path(output), verify=verify, report=_path(report), plan=_path(plan_out))
    with stages.stage("analyze"):
        analysis = analyze(model, dims=dims)
    out.check(analysis.model)
    with stages.stage("plan"):
        wanted, beside = _plan_of(plan)
        if plan_out is not None and wanted.repair is not None:
            message = "the plan has repaired weights, which lie beside its file"
            raise InvalidConfigError(message, hint="copy the two files together")
        analysis = couple(analysis, wanted.coupling, wanted.forks)
        if retrained:
            wanted = transfer_plan(analysis, wanted)
        repaired = with_repaired_weights(analysis, wanted, beside)
        draft = draft_of(repaired, wanted, original=analysis)
    return _carry_out(Made(repaired, draft), out, stages)


def apply_to_state_dict(
    model: ModelLike,
    plan: PrunePlan | str | Path,
    source: str | Path,
    output: str | Path,
    *,
    mapping: str | Path | None = None,
    dims: Mapping[str, int] | None = None,
) -> StateDictReport:
    """Cut a framework's checkpoint as a plan cuts the model, so that it can be trained there.

    Args:
        model: the model that the plan was made for, its file, or its analysis.
        plan: the plan or its file.
        source: a safetensors file with the framework's tensors.
        output: where to write the tensors of the pruned network.
        mapping: a JSON file for tensors whose names and content do not tell which weight they are;
            see `onnxprune.state_dict.slice_state_dict`.
        dims: sizes for symbolic dimensions of the inputs.

    Raises:
        InvalidConfigError: a file cannot be read or written.
        PlanMismatchError: the plan is for another model, or a tensor matches no weight.
    """
    analysis = analyze(model, dims=dims)
    wanted, beside = _plan_of(plan)
    if wanted.coupling != "constrained":
        message = "the plan lets consumers of one value drop channels of their own"
        hint = "the framework's network reads one value everywhere: plan with constrained coupling"
        raise PlanMismatchError(message, hint=hint)
    check_plan(analysis, wanted)
    repaired = with_repaired_weights(analysis, wanted, beside)
    return slice_state_dict(
        analysis, repaired, repaired.removed_labels(wanted), Path(source), Path(output),
        mapping=_path(mapping),
    )  # fmt: skip


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
    out = Output(Path(output), verify=verify, report=_path(report), plan=_path(plan_out))
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
        choices = couplings(analysis, settings, judged=bool(judge.held or judge.metric))

    def trial(wanted: PlanOptions) -> Made:
        def draft(choice: Analysis) -> Made:
            with stages.stage("plan" if collected is None else "calibrate") as step:
                return make(
                    choice, wanted, collected, recovery=recovery,
                    weights_name=f"{(out.plan or out.path).name}.safetensors",
                    data_name=f"{out.path.name}.data", progress=step,
                )  # fmt: skip

        return least_drop(choices, draft, judge, beside=out.path, stages=stages)

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
            require_runnable(analysis)
        raise
    asked = requested(options) if max_drop is None else {"max_drop": max_drop}
    notes = () if collected is None else collected.notes
    return _carry_out(made, out, stages, asked, judge=judge, steps=steps, notes=notes)


def verify(
    original: ModelLike,
    pruned: str | Path,
    *,
    plan: PrunePlan | str | Path | None = None,
    dims: Mapping[str, int] | None = None,
    progress: Progress | None = None,
) -> VerifyReport:
    """Check a pruned file against its original.

    Args:
        original: the original model, its file, or its analysis.
        pruned: the pruned file.
        plan: the plan or its file. Without it, what was removed is read off the weights; where
            that fails, shapes and types of the outputs are all that is compared.
        dims: sizes for symbolic dimensions of the inputs.
        progress: called with the stage, and how much of how much is done.

    Raises:
        InvalidModelError: a file is no usable model.
        PlanMismatchError: the plan is for another model.
    """
    stages = Stages(progress)
    with stages.stage("analyze"):
        analysis = analyze(original, dims=dims)
        wanted, beside = (None, None) if plan is None else _plan_of(plan)
        repaired = analysis
        if wanted is not None:
            repaired = analysis = couple(analysis, wanted.coupling, wanted.forks)
            repaired = with_repaired_weights(analysis, wanted, beside)
        small = load(pruned)
    with stages.stage("verify") as step:
        return verify_pair(repaired, small, plan=wanted, original=analysis, progress=step)


def benchmark(  # noqa: PLR0913  # as the command
    models: Sequence[str | Path] | str | Path,
    *,
    provider: str | Sequence[str] = "cpu",
    threads: int | Sequence[int] = 1,
    dims: Mapping[str, int] | None = None,
    batch: int | None = None,
    time_budget_s: float = 30.0,
    require_share: float | None = None,
    tolerance: float | None = None,
    pythons: Mapping[str, Path] | None = None,
    target: str | None = None,
    progress: Progress | None = None,
) -> BenchReport:
    """Measure the latency of models, and compare all with the first.

    Args:
        models: files; the first is the baseline of the others.
        provider: execution providers, each as `name[:option=value,...]`.
        threads: numbers of threads within an operator.
        dims: sizes of symbolic dimensions.
        batch: size of the batch, where it is open.
        time_budget_s: seconds for one comparison.
        require_share: least share of the nodes that must run on a provider.
        tolerance: largest relative difference from the CPU provider's outputs.
        pythons: interpreters by provider's name; "" is for all others.
        target: another machine to measure on: `ssh://[user@]host[:port]`, `adb` or `adb://SERIAL`.
        progress: called with what is being done, and how much of how much.

    Raises:
        InvalidModelError: a model is unusable, or takes other inputs than the first.
        InvalidConfigError: an option is out of its range.

    Example:
        >>> from onnxprune.demo import MODEL
        >>> report = benchmark(MODEL, time_budget_s=2)
        >>> report.runs[0].p50_ms > 0
        True
    """
    return run_benchmark(
        [models] if isinstance(models, str | Path) else models,
        providers=[provider] if isinstance(provider, str) else provider,
        threads=[threads] if isinstance(threads, int) else threads,
        dims=dims, batch=batch, require_share=require_share, tolerance=tolerance,
        pythons=pythons, target=parse_target(target) if target else None,
        protocol=Protocol(time_budget_s=time_budget_s), progress=progress,
    )  # fmt: skip


make_plan = plan  # where `plan` is the name of an argument


def order(
    model: ModelLike,
    *,
    plan: PrunePlan | str | Path | None = None,
    dims: Mapping[str, int] | None = None,
    progress: Progress | None = None,
    **options: Unpack[PlanOptions],
) -> list[StreamEntry]:
    """Show what the consumers of every stream read of it, and in which order it stands.

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
        wanted, _ = _plan_of(plan)
        analysis = couple(analyze(model, dims=dims), wanted.coupling, wanted.forks)
        check_plan(analysis, wanted)
        removed = analysis.removed_labels(wanted)
        layout = read_layout(analysis.deps, removed, wanted.layout or (), wanted.joined or ())
    return stream_entries(analysis, layout)


@dataclass(frozen=True, slots=True)
class Output:
    """Where results go, and whether they are verified before."""

    path: Path
    verify: bool
    report: Path | None = None
    plan: Path | None = None

    def check(self, model: Model) -> None:
        """Refuse destinations that cannot be written, before any work is done.

        Raises:
            InvalidConfigError: with the reason.
        """
        paths = [p for p in (self.path, self.plan, self.report) if p is not None]
        for path in paths:
            check_destination(path, model.identities)
        places = {p.absolute() for p in paths}
        if len(places) < len(paths) or self.path.with_name(f"{self.path.name}.data") in paths:
            message = f"'{printable(self.path)}' and another output have the same name"
            raise InvalidConfigError(message, hint="give every output a name of its own")


def _path(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)


def _plan_of(plan: PrunePlan | str | Path) -> tuple[PrunePlan, Path | None]:
    """Return a plan and the directory it lies in, if it came from a file."""
    if isinstance(plan, PrunePlan):
        return plan, None
    return read_plan(Path(plan)), Path(plan).parent


def _write_plan(files: ExitStack, plan: PrunePlan, path: Path, weights: bytes | None) -> None:
    """Write a plan and its repaired weights, which appear when `files` is closed."""
    contents = {path: plan.to_json().encode()}
    if weights is not None:
        contents[Path(f"{path}.safetensors")] = weights
    for place, content in contents.items():
        [file] = files.enter_context(new_files(place))
        file.write(content)


def _carry_out(
    made: Made,
    output: Output,
    stages: Stages,
    wanted: Mapping[str, float | int | str] | None = None,
    *,
    judge: Judge | None = None,
    steps: list[SearchStep] | None = None,
    notes: Sequence[str] = (),
) -> PruneReport:
    """Write a draft beside its destination, verify and judge it, and give it its name."""
    analysis, draft = made.analysis, made.draft
    model = analysis.model
    with Staging(output.path, model.identities) as staging:
        with stages.stage("apply"):
            written = write_model(
                draft.rewritten.proto, staging.path, source=model, arrays=draft.rewritten.arrays,
            )  # fmt: skip
        verification: Verification | None = None
        if output.verify:
            with stages.stage("verify") as step:
                verification = verify_cut(
                    analysis, draft.removed, staging.path, progress=step,
                    workspace=staging.directory, branches=draft.branches,
                )  # fmt: skip
            _require(verification, draft.plan, output.path)
        judgement = Judgement()
        if judge is not None and (judge.held or judge.metric):
            with stages.stage("measure") as step:
                judgement = judge.judge(staging.path, progress=step)
        report = report_pruning(
            analysis, draft, written._replace(path=output.path),
            verification=verification, requested=wanted, seconds=stages.all_seconds(),
            judgement=replace(judgement, search=steps), notes=notes, latency=made.latency,
        )  # fmt: skip
        with ExitStack() as side:
            if output.plan is not None:
                _write_plan(side, draft.plan, output.plan, made.weights)
            if output.report is not None:
                [file] = side.enter_context(new_files(output.report))
                file.write(report.to_json().encode())
            staging.publish(written.data_path)
    return report


def _require(verification: Verification, plan: PrunePlan, path: Path) -> None:
    """Refuse a result that is wrong; an approximate plan may change values, and nothing else.

    Raises:
        VerificationError: with the first difference.
    """
    approximate = any(not group.exact for group in plan.groups)
    if verification.exact or (approximate and verification.sound):
        return
    message = (
        f"'{printable(path)}' was not written: the pruned model differs from the masked original: "
        f"{verification.failures[0]}"
    )
    hint = "this is a defect of the analysis; report it with the model, or exclude the group"
    raise VerificationError(message, hint=hint)
