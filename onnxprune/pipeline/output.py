"""Write a draft beside its destination, verify and judge it, and give it its name."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from onnxprune.core.plan import PrunePlan
from onnxprune.errors import (
    InvalidConfigError,
    VerificationError,
    printable,
)
from onnxprune.fidelity import Judge, Judgement
from onnxprune.io import Model, write_model
from onnxprune.io.outfile import check_destination, new_files
from onnxprune.pipeline.latency import latency_entry
from onnxprune.pipeline.staging import Staging
from onnxprune.planning.plans import read_plan
from onnxprune.report.pruning import report_pruning
from onnxprune.verification import Verification, verify_cut

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onnxprune.fidelity import SearchStep
    from onnxprune.pipeline.drafting import Made
    from onnxprune.report.models import PruneReport
    from onnxprune.stages import Stages

__all__ = ["Output", "as_path", "carry_out", "plan_of", "write_plan"]


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


def as_path(path: str | Path | None) -> Path | None:
    """Return a path, None for none."""
    return None if path is None else Path(path)


def plan_of(plan: PrunePlan | str | Path) -> tuple[PrunePlan, Path | None]:
    """Return a plan and the directory it lies in, if it came from a file."""
    if isinstance(plan, PrunePlan):
        return plan, None
    return read_plan(Path(plan)), Path(plan).parent


def write_plan(files: ExitStack, plan: PrunePlan, path: Path, weights: bytes | None) -> None:
    """Write a plan and its repaired weights, which appear when `files` is closed."""
    contents = {path: plan.to_json().encode()}
    if weights is not None:
        contents[Path(f"{path}.safetensors")] = weights
    for place, content in contents.items():
        [file] = files.enter_context(new_files(place))
        file.write(content)


def carry_out(
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
            judgement=replace(judgement, search=steps), notes=notes,
            latency=None if made.latency is None else latency_entry(made.latency),
        )  # fmt: skip
        with ExitStack() as side:
            if output.plan is not None:
                write_plan(side, draft.plan, output.plan, made.weights)
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
