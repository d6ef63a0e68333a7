"""The verbs `verify` and `benchmark`: a pruned file against its original."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from onnxprune.analysis.expansion import couple
from onnxprune.bench.protocol import Protocol
from onnxprune.bench.run import benchmark as run_benchmark
from onnxprune.pipeline.loading import ModelLike, analyze, load
from onnxprune.pipeline.output import plan_of
from onnxprune.pipeline.pair import verify_pair
from onnxprune.recovery.repaired import with_repaired_weights
from onnxprune.stages import Progress, Stages
from onnxprune.targets import parse_target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onnxprune.bench.document import BenchReport
    from onnxprune.core.plan import PrunePlan
    from onnxprune.report.models import VerifyReport

__all__ = ["benchmark", "verify"]


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
        wanted, beside = (None, None) if plan is None else plan_of(plan)
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
