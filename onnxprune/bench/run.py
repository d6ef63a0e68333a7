"""The verb: measure models on providers. This process only starts others and puts together."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from onnxprune.bench import assemble
from onnxprune.bench.document import BenchReport, EnvironmentEntry, FailureEntry, ProtocolEntry
from onnxprune.bench.environment import describe_machine, load_average
from onnxprune.bench.pair import self_test, time_pair
from onnxprune.bench.protocol import Protocol
from onnxprune.bench.workload import (
    Subject,
    batch_symbols,
    make_recipe,
    possible_sizes,
    read_subject,
)
from onnxprune.errors import InvalidConfigError, OnnxPruneError, ProviderUnavailableError
from onnxprune.providers.calling import call_on
from onnxprune.providers.listing import interpreter_for
from onnxprune.providers.spec import ProviderSpec, parse_spec
from onnxprune.runtime.isolate import IsolationError, run_isolated
from onnxprune.targets import Target, places

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from onnxprune.bench.document import ComparisonEntry, ProviderRuntime, RunEntry, SelfTestEntry
    from onnxprune.bench.footprint import Footprint
    from onnxprune.bench.timing import Timing
    from onnxprune.providers.check import Examination
    from onnxprune.runtime.feeds import FeedRecipe

__all__ = ["benchmark", "require_known", "runnable"]

_MEMORY_BYTES: Final = 16 << 30
_TIMEOUT_S: Final = 600.0
_PROCEEDING = (
    "the baseline, the baseline again and the candidate take turns in random order in one process; "
    "the sessions are rebuilt in random order; the run after each change is thrown away; all run "
    "equally often; a t interval of 98 % over one log ratio per rebuild, for 95 % at least; time "
    "of the CPU (median) for one thread from 3 ms on, wall time (first decile) otherwise"
)


def benchmark(  # noqa: PLR0913  # one per option of the command
    models: Sequence[str | Path],
    *,
    providers: Sequence[str | ProviderSpec] = ("cpu",),
    threads: Sequence[int] = (1,),
    dims: Mapping[str, int] | None = None,
    batch: int | None = None,
    require_share: float | None = None,
    tolerance: float | None = None,
    pythons: Mapping[str, Path] | None = None,
    target: Target | None = None,
    protocol: Protocol | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> BenchReport:
    """Measure models on execution providers, and compare all with the first.

    Args:
        models: Files; the first is the baseline of the others.
        providers: Which providers, as `name[:option=value,...]`.
        threads: Numbers of threads to measure with.
        dims: Sizes of symbolic dimensions.
        batch: Size of the batch, where it is open.
        require_share: Least share of the nodes that must run on a provider.
        tolerance: Largest relative difference from the CPU provider's outputs.
        pythons: Interpreters by provider's name; "" is for all others.
        target: The machine that they are on; None for this one.
        protocol: How to measure.
        progress: Called with what is being done, and how much of how much.

    Raises:
        InvalidModelError: A model is unusable, or takes other inputs than the first.
        InvalidConfigError: An option is out of its range.
        ProviderUnavailableError: There is no reaching the target.
    """
    if not models:
        message = "there is no model to measure"
        raise InvalidConfigError(message)
    if require_share is not None and not 0.0 < require_share <= 1.0:
        message = f"the required share is {require_share:g}, wanted is a number in (0, 1]"
        raise InvalidConfigError(message)
    specs = [p if isinstance(p, ProviderSpec) else parse_spec(p) for p in providers]
    used = protocol or Protocol()
    pythons_there = places(pythons, target)
    default = interpreter_for(specs[0].facts, pythons_there)
    there = default if isinstance(default, Target) else None
    machine = describe_machine(there)
    first = runnable(Path(models[0]), dims=_checked(dims or {}), batch=batch)
    sizes = {**first.dims, **(dims or {})}
    subjects = [first, *(read_subject(Path(m), dims=sizes, batch=None) for m in models[1:])]
    require_known(dims or {}, subjects)
    job = _Job(
        subjects, make_recipe(subjects, seed=used.seed), used, require_share, tolerance,
        pythons_there, progress,
    )  # fmt: skip
    for spec in specs:
        for count in threads:
            job.run(spec, replace(used, threads=count))
    return BenchReport(
        environment=EnvironmentEntry(
            target=target.text if target is not None else None,
            machine=machine,
            load_average_after=load_average(there),
            providers=job.runtimes,
        ),
        protocol=_describe(used, threads, first.dims),
        runs=job.runs,
        comparisons=job.comparisons,
        self_tests=job.self_tests,
        failures=job.failures,
        notes=job.notes,
    )


@dataclass(slots=True)
class _Job:
    """What is to be done, and what came of it so far."""

    subjects: list[Subject]
    recipe: FeedRecipe
    protocol: Protocol
    require_share: float | None
    tolerance: float | None
    pythons: Mapping[str, Path | Target]
    progress: Callable[[str, int, int], None] | None
    runtimes: list[ProviderRuntime] = field(default_factory=list)
    runs: list[RunEntry] = field(default_factory=list)
    comparisons: list[ComparisonEntry] = field(default_factory=list)
    self_tests: dict[str, SelfTestEntry] = field(default_factory=dict)
    failures: list[FailureEntry] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def run(self, spec: ProviderSpec, protocol: Protocol) -> None:
        """Measure all models on one provider, or record why that cannot be."""
        where = ""
        try:
            examined = []
            for subject in self.subjects:
                where = subject.path
                examined.append(self._examine(spec, subject, protocol.threads))
            where = ""
            self._measure(spec, protocol, examined)
        except (ProviderUnavailableError, IsolationError) as error:
            if isinstance(error, IsolationError) and spec.facts.name == "cpu":
                raise
            failure = FailureEntry(
                provider=spec.text, model=where or None, error=error.message, hint=error.hint
            )
            self.failures.append(failure)

    def _measure(
        self, spec: ProviderSpec, protocol: Protocol, examined: Sequence[Examination]
    ) -> None:
        emulated = examined[0].availability.emulated
        self.runtimes.append(assemble.runtime(spec, protocol, examined[0]))
        self.notes += [n for n in self.runtimes[-1].notes if n not in self.notes]
        prints = [self._footprint(spec, s, protocol.threads) for s in self.subjects]
        baseline = self.subjects[0]
        timings: list[Timing] = []
        if not emulated:
            candidates: list[Subject | None] = [*self.subjects[1:]] or [None]
            timings = [self._time(spec, protocol, baseline, c) for c in candidates]
        runs = [
            assemble.run_entry(
                spec, protocol, subject, examined[number], prints[number],
                assemble.samples_of(timings, number),
            )
            for number, subject in enumerate(self.subjects)
        ]  # fmt: skip
        self.runs += runs
        if not emulated and len(self.subjects) == 1:
            key = f"{spec.text}, {protocol.threads} threads"
            self.self_tests[key] = self_test(timings[0])
        for number, timing in enumerate(timings if len(self.subjects) > 1 else (), 1):
            self.comparisons.append(
                assemble.comparison(spec, protocol, runs[0], runs[number], timing)
            )

    def _examine(self, spec: ProviderSpec, subject: Subject, threads: int) -> Examination:
        found: Examination = self._call(
            "onnxprune.providers.check:examine",
            f"checking {Path(subject.path).name} on {spec.text}",
            model=subject.path,
            spec=spec,
            recipe=self.recipe,
            threads=threads,
            require_share=self.require_share,
            tolerance=self.tolerance or max(spec.facts.tolerance, subject.rounding),
        )
        return found

    def _footprint(self, spec: ProviderSpec, subject: Subject, threads: int) -> Footprint:
        found: Footprint = self._call(
            "onnxprune.bench.footprint:measure_footprint",
            f"loading {Path(subject.path).name} on {spec.text}",
            model=subject.path,
            spec=spec,
            recipe=self.recipe,
            threads=threads,
        )
        return found

    def _time(
        self, spec: ProviderSpec, protocol: Protocol, baseline: Subject, candidate: Subject | None
    ) -> Timing:
        """Time the baseline twice and a candidate."""
        what = f"timing {Path((candidate or baseline).path).name} on {spec.text}"

        def call(attempt: Protocol, models: Sequence[str]) -> Timing:
            timing: Timing = self._call(
                "onnxprune.bench.timing:time_models", what, steps=True, models=models, spec=spec,
                recipe=self.recipe, protocol=attempt,
            )  # fmt: skip
            return timing

        return time_pair(
            baseline.path, candidate.path if candidate else None, protocol=protocol, call=call
        )

    def _call(
        self,
        target: str,
        what: str,
        *,
        spec: ProviderSpec,
        steps: bool = False,
        **kwargs: Any,  # noqa: ANN401  # of the target
    ) -> Any:  # noqa: ANN401  # what the target returns
        progress = self.progress
        tell: Callable[[int, int], None] | None = None
        if progress is not None:
            progress(what, 0, 0)
            if steps:
                report = progress

                def tell(done: int, total: int) -> None:
                    report(what, done, total)

        python = interpreter_for(spec.facts, self.pythons)
        # Drivers of GPUs reserve far more memory than they use.
        limit = _MEMORY_BYTES if spec.facts.device == "cpu" else None
        try:
            return call_on(
                spec, target, kwargs, python=python,
                timeout_s=_TIMEOUT_S + 4 * self.protocol.time_budget_s,
                memory_limit_bytes=limit, progress=tell, task=what,
            )  # fmt: skip
        except MemoryError as error:
            message = f"{what}: the machine has too little memory for it"
            raise OnnxPruneError(message) from error


def runnable(path: Path, *, dims: Mapping[str, int], batch: int | None) -> Subject:
    """Read a model, with sizes that it really runs at.

    Args:
        path: The file.
        dims: Sizes of symbolic dimensions that the user wants.
        batch: Size of the batch where it is open, one by default.

    Raises:
        InvalidModelError: The file is no usable model.
    """
    subject = read_subject(path, dims=dims, batch=batch)
    batches = dict.fromkeys(batch_symbols(subject.inputs), batch or 1)
    sizes = possible_sizes(subject, batches | {s: n for s, n in dims.items() if s in subject.dims})
    if len(sizes) == 1:
        return subject
    recipe = make_recipe([subject], seed=0)
    number = run_isolated(
        "onnxprune.bench.workload:first_running",
        {"model": str(path), "recipes": [replace(recipe, dims=dims) for dims in sizes]},
        timeout_s=_TIMEOUT_S, memory_limit_bytes=_MEMORY_BYTES,
        task=f"looking for sizes that {path.name} runs at",
    )  # fmt: skip
    return read_subject(path, dims=sizes[number], batch=None) if number else subject


def _checked(dims: Mapping[str, int]) -> Mapping[str, int]:
    for symbol, size in dims.items():
        if size < 1:
            message = f"size {size} given for dimension '{symbol}', wanted is one from 1"
            raise InvalidConfigError(message)
    return dims


def require_known(dims: Mapping[str, int], subjects: Sequence[Subject]) -> None:
    """Refuse sizes of dimensions that no model has.

    Raises:
        InvalidConfigError: With what there is.
    """
    known = {symbol for subject in subjects for symbol in subject.dims}
    for symbol in dims:
        if symbol not in known:
            message = f"size given for dimension '{symbol}', which no input has"
            hint = f"open dimensions: {', '.join(sorted(known)) or 'none: all sizes are fixed'}"
            raise InvalidConfigError(message, hint=hint)


def _describe(protocol: Protocol, threads: Sequence[int], dims: Mapping[str, int]) -> ProtocolEntry:
    return ProtocolEntry(
        description=_PROCEEDING,
        inputs=dict(dims),
        threads=list(threads),
        spinning=protocol.spinning,
        rebuilds=protocol.rebuilds,
        most_rebuilds=protocol.most_rebuilds,
        pairs=protocol.pairs,
        block_ms=protocol.block_ms,
        warm_up_ms=protocol.warm_up_ms,
        half_width=protocol.half_width,
        time_budget_s=protocol.time_budget_s,
        seed=protocol.seed,
    )
