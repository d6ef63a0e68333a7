"""Check a pruned file against its original, whoever pruned it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from onnxprune.errors import VerificationError, printable
from onnxprune.planning.plans import check_plan
from onnxprune.report.models import VerifyReport
from onnxprune.report.pruning import finite
from onnxprune.verification import Verification, verify_cut
from onnxprune.verification.equivalence import verify_outputs
from onnxprune.verification.reconstruct import missing_branches, reconstruct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import onnx

    from onnxprune.analysis import Analysis
    from onnxprune.core.branches import Branch
    from onnxprune.core.plan import PrunePlan
    from onnxprune.io import Model


def verify_pair(
    analysis: Analysis,
    pruned: Model,
    *,
    plan: PrunePlan | None,
    original: Analysis | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> VerifyReport:
    """Compare a pruned file with the masked original, or with the original as it is.

    Args:
        analysis: the original.
        pruned: the pruned model.
        plan: what was removed; without it, that is read off the weights if they allow.
        original: the model before its weights were repaired, if they were.
        progress: called with (done, total).

    Raises:
        PlanMismatchError: the plan is for another model.
    """
    source: Literal["given", "reconstructed"] | None = "given" if plan is not None else None
    removed = None
    branches: tuple[Branch, ...] = ()
    if plan is not None:
        check_plan(original or analysis, plan)
        removed = analysis.removed_labels(plan)
        branches = analysis.removed_branches(plan)
    approximate = plan is not None and any(not g.exact for g in plan.groups)
    if removed is None:
        branches = missing_branches(analysis, pruned)
        removed = reconstruct(analysis, pruned)
        source = None if removed is None else "reconstructed"
    failures = _interface(analysis.model.proto.graph, pruned.proto.graph)
    try:
        if removed is None:
            found = verify_outputs(analysis, pruned.path, progress=progress)
        else:
            found = verify_cut(analysis, removed, pruned.path, progress=progress, branches=branches)
    except VerificationError as error:  # the pruned file cannot be loaded or run
        failures.append(error.message)
        found = Verification(exact=False, sound=False, max_abs=0.0, max_rel=0.0, feeds=0)
    tolerant = removed is None or approximate
    if not (found.sound if tolerant else found.exact):
        failures += found.failures
    return VerifyReport(
        original=str(analysis.model.path),
        pruned=str(pruned.path),
        method="outputs" if removed is None else "masked",
        plan=source,
        passed=not failures,
        exact=None if removed is None else found.exact,
        max_abs=finite(found.max_abs),
        max_rel=finite(found.max_rel),
        feeds=found.feeds,
        failures=failures,
    )


def _interface(original: onnx.GraphProto, pruned: onnx.GraphProto) -> list[str]:
    """Compare the declared inputs and outputs; inputs with a default value may be slices."""
    weights = {tensor.name for tensor in original.initializer}
    failures = []
    for kind in ("input", "output"):
        wanted, seen = _declared(getattr(original, kind)), _declared(getattr(pruned, kind))
        failures += [
            f"{kind} '{printable(name)}' is declared in another way, or not at all"
            for name in wanted
            if name not in weights and seen.get(name) != wanted[name]
        ]
        failures += [f"{kind} '{printable(n)}' is new" for n in seen if n not in wanted]
    return failures


def _declared(values: Iterable[onnx.ValueInfoProto]) -> dict[str, bytes]:
    return {v.name: v.type.SerializeToString(deterministic=True) for v in values}
