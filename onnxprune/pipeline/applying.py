"""The verb `apply`: a plan carried out on a model, or on a framework's checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from onnxprune.analysis.expansion import couple
from onnxprune.errors import (
    InvalidConfigError,
    PlanMismatchError,
)
from onnxprune.pipeline.drafting import Made
from onnxprune.pipeline.loading import ModelLike, analyze
from onnxprune.pipeline.output import Output, as_path, carry_out, plan_of
from onnxprune.pipeline.state_dict import StateDictReport, slice_state_dict
from onnxprune.planning.plans import check_plan, draft_of, transfer_plan
from onnxprune.recovery.repaired import with_repaired_weights
from onnxprune.stages import Progress, Stages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onnxprune.core.plan import PrunePlan
    from onnxprune.report.models import PruneReport

__all__ = ["apply", "apply_to_state_dict"]


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
    out = Output(Path(output), verify=verify, report=as_path(report), plan=as_path(plan_out))
    with stages.stage("analyze"):
        analysis = analyze(model, dims=dims)
    out.check(analysis.model)
    with stages.stage("plan"):
        wanted, beside = plan_of(plan)
        if plan_out is not None and wanted.repair is not None:
            message = "the plan has repaired weights, which lie beside its file"
            raise InvalidConfigError(message, hint="copy the two files together")
        analysis = couple(analysis, wanted.coupling, wanted.forks)
        if retrained:
            wanted = transfer_plan(analysis, wanted)
        repaired = with_repaired_weights(analysis, wanted, beside)
        draft = draft_of(repaired, wanted, original=analysis)
    return carry_out(Made(repaired, draft), out, stages)


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
            see `onnxprune.pipeline.state_dict.slice_state_dict`.
        dims: sizes for symbolic dimensions of the inputs.

    Raises:
        InvalidConfigError: a file cannot be read or written.
        PlanMismatchError: the plan is for another model, or a tensor matches no weight.
    """
    analysis = analyze(model, dims=dims)
    wanted, beside = plan_of(plan)
    if wanted.coupling != "constrained":
        message = "the plan lets consumers of one value drop channels of their own"
        hint = "the framework's network reads one value everywhere: plan with constrained coupling"
        raise PlanMismatchError(message, hint=hint)
    check_plan(analysis, wanted)
    repaired = with_repaired_weights(analysis, wanted, beside)
    return slice_state_dict(
        analysis, repaired, repaired.removed_labels(wanted), Path(source), Path(output),
        mapping=as_path(mapping),
    )  # fmt: skip
