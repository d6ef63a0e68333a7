"""Carry out a configuration: prune or apply, measure, check, report; what is unchanged is kept."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import onnx

from onnxprune import pipeline
from onnxprune.bench.protocol import Protocol
from onnxprune.bench.run import benchmark
from onnxprune.config import BenchSection, ConfigFile, PruneSection, find_config, read_config
from onnxprune.errors import InvalidConfigError, printable
from onnxprune.gate.run import check
from onnxprune.io.outfile import new_files
from onnxprune.page import read_results, to_html
from onnxprune.planning.plans import read_plan
from onnxprune.runtime.machine import processor, usable_cores
from onnxprune.runtime.session import load_onnxruntime
from onnxprune.version import __version__
from onnxprune.workflow.state import State, digest_of, digest_of_code, digest_of_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from onnxprune.stages import Progress

__all__ = ["RunReport", "StepReport", "run"]

Outcome = Literal["made", "unchanged", "would run", "failed", "inconclusive"]


@dataclass(frozen=True, slots=True)
class StepReport:
    """What became of one step."""

    name: str
    outcome: Outcome
    files: tuple[Path, ...]


@dataclass(slots=True)
class RunReport:
    """What became of a run.

    Attributes:
        steps: the steps in order.
        status: exit status: 0, or that of a check that did not pass.
        messages: what did not pass.
    """

    steps: list[StepReport] = field(default_factory=list)
    status: int = 0
    messages: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Step:
    """One step.

    Attributes:
        name: its name.
        inputs: all that its result depends on.
        files: what it makes.
        work: does it; returns the exit status and what to say.
    """

    name: str
    inputs: Callable[[], dict[str, Any]]
    files: tuple[Path, ...]
    work: Callable[[], tuple[int, list[str]]]


def run(
    config: str | Path | None = None,
    *,
    model: str | Path | None = None,
    output: str | Path | None = None,
    dry: bool = False,
    fresh: bool = False,
    progress: Progress | None = None,
) -> RunReport:
    """Carry out a configuration.

    Every step is recorded with the digests of all that went into it. A step whose inputs and files
    are unchanged is not done again, so a run that was interrupted goes on where it stopped.

    Args:
        config: the file; by default onnxprune.toml or pyproject.toml in the working directory.
        model: the model, in the place of the configured one.
        output: the directory for results, likewise.
        dry: whether to tell what would be done, and do nothing.
        fresh: whether to do everything again.
        progress: called with what is being done, and how much of how much.

    Raises:
        InvalidConfigError: the configuration is missing something, or wrong.
        OnnxPruneError: whatever a step raises.
    """
    source = read_config(Path(config)) if config is not None else find_config(Path())
    if source is None:
        message = "there is no configuration in the working directory"
        raise InvalidConfigError(message, hint="`onnxprune init MODEL` writes one")
    job = _Job(source, model, output, progress)
    if not dry:
        job.folder.mkdir(parents=True, exist_ok=True)
    state = State(job.folder / "state.json")
    report = RunReport()
    stale = False  # what follows from a step that would be done would be done as well
    for step in job.steps():
        key = "" if stale else digest_of(step.inputs())
        if not fresh and not stale and state.is_fresh(step.name, key):
            report.steps.append(StepReport(step.name, "unchanged", step.files))
            continue
        if dry:
            stale = True
            report.steps.append(StepReport(step.name, "would run", step.files))
            continue
        status, messages = step.work()
        outcome: Outcome = "made" if not status else "inconclusive" if status == 3 else "failed"
        report.steps.append(StepReport(step.name, outcome, step.files))
        report.status, report.messages = report.status or status, report.messages + messages
        if not status:  # a check that failed is made again
            state.record(step.name, key, step.files)
    return report


class _Job:
    """A configuration and the files that it speaks of."""

    def __init__(
        self,
        source: ConfigFile,
        model: str | Path | None,
        output: str | Path | None,
        progress: Progress | None,
    ) -> None:
        self._source, self._config, self._progress = source, source.config, progress
        section = self._config.run
        wanted = Path(model) if model is not None else section and section.model
        place = Path(output) if output is not None else section and section.output
        if not wanted:
            raise _missing(source, "model", "the model")
        if not place:
            raise _missing(source, "output", "a directory for the results")
        self.model, self.folder = wanted, place
        self._plan = section.plan if section else None
        if self._plan is None and self._config.prune is None:
            message = (
                f"'{printable(source.path)}' has neither a section [prune] nor a plan in [run]"
            )
            raise InvalidConfigError(message, hint="say what to remove: [prune] remove-macs = 0.3")
        self._small = self.folder / f"{self.model.stem}.onnx"
        self._own_plan = self.folder / "plan.json"

    def steps(self) -> list[_Step]:
        """Return the steps that the configuration asks for."""
        return [
            self._prune_step(),
            *([self._bench_step(self._config.bench)] if self._config.bench else []),
            *([self._check_step()] if self._config.check else []),
            self._report_step(),
        ]

    def _prune_step(self) -> _Step:
        options = (self._config.prune or PruneSection.model_validate({})).model_dump(
            exclude_none=True
        )
        report = self.folder / "prune.json"
        weights = self._own_plan.with_name(f"{self._own_plan.name}.safetensors")
        data = self._small.with_name(f"{self._small.name}.data")

        def inputs() -> dict[str, Any]:
            files = [p for p in (self._plan, options.get("calibration")) if isinstance(p, Path)]
            code = [options[k] for k in ("metric", "calibration_entry") if k in options]
            return {
                "model": pipeline.load(self.model).sha256, "options": options,
                "plan": self._plan is not None,
                "files": {str(p.name): digest_of_file(p) for p in files},
                "code": {entry: digest_of_code(entry) for entry in code},
                **_software(machine="max_latency_ratio" in options),
            }  # fmt: skip

        def work() -> tuple[int, list[str]]:
            self._own_plan.unlink(missing_ok=True)
            if self._plan is None:
                pipeline.prune(
                    self.model, self._small, plan_out=self._own_plan, report=report,
                    progress=self._progress, **options,
                )  # fmt: skip
                return 0, []
            plan = read_plan(self._plan)
            pipeline.apply(
                self.model, self._plan, self._small, retrained=True, dims=options.get("dims"),
                plan_out=None if plan.repair else self._own_plan, report=report,
                progress=self._progress,
            )  # fmt: skip
            return 0, []

        return _Step("prune", inputs, (self._small, data, self._own_plan, weights, report), work)

    def _bench_step(self, section: BenchSection) -> _Step:
        target = self.folder / "bench.json"

        def work() -> tuple[int, list[str]]:
            found = benchmark(
                [self.model, self._small], providers=section.providers, threads=section.threads,
                batch=section.batch, dims=self._dims(), progress=self._progress,
                protocol=Protocol(time_budget_s=section.time_budget),
            )  # fmt: skip
            _write(target, found.to_json())
            messages = [f.error for f in found.failures]
            return (0 if found.conclusive else 3), messages

        return _Step("bench", lambda: self._measured(section.model_dump()), (target,), work)

    def _check_step(self) -> _Step:
        target = self.folder / "check.json"
        section = self._config.check
        assert section is not None
        plan = self._own_plan if self._plan is None else None

        def work() -> tuple[int, list[str]]:
            own: dict[str, Any] = {}
            if section.baseline is None:
                own["baseline"] = self.model
            if section.plan is None and (self._own_plan.exists() or self._plan):
                own["plan"] = self._own_plan if self._own_plan.exists() else self._plan
            found = check(self._small, config=self._source.path, progress=self._progress, **own)
            _write(target, found.to_json())
            return found.status, [c.message for c in found.checks if c.outcome != "pass"]

        def inputs() -> dict[str, Any]:
            values = section.model_dump()
            files = [v for v in values.values() if isinstance(v, Path)]
            code = [section.metric] if section.metric else []
            return self._measured(values) | {
                "plan": digest_of_file(plan or self._plan or self._own_plan),
                "files": {p.name: digest_of_file(p) for p in files},
                "code": {entry: digest_of_code(entry) for entry in code},
            }

        return _Step("check", inputs, (target,), work)

    def _report_step(self) -> _Step:
        target = self.folder / "report.html"
        names = ["prune.json"]
        names += ["bench.json"] if self._config.bench else []
        names += ["check.json"] if self._config.check else []
        sources = [self.folder / name for name in names]

        def work() -> tuple[int, list[str]]:
            _write(target, to_html(read_results([p for p in sources if p.exists()])))
            return 0, []

        def inputs() -> dict[str, Any]:
            return {"tool": __version__, **{p.name: digest_of_file(p) for p in sources}}

        return _Step("report", inputs, (target,), work)

    def _measured(self, section: dict[str, Any]) -> dict[str, Any]:
        """Return what a measurement depends on: both files, this machine, and the software."""
        return {
            "model": pipeline.load(self.model).sha256, "small": digest_of_file(self._small),
            "section": section, **_software(machine=True),
        }  # fmt: skip

    def _dims(self) -> dict[str, int] | None:
        return self._config.prune.dims if self._config.prune else None


def _software(*, machine: bool) -> dict[str, Any]:
    found = {
        "tool": __version__, "onnx": onnx.__version__,
        "onnxruntime": load_onnxruntime().__version__,
    }  # fmt: skip
    if machine:
        found |= {"machine": f"{platform.node()} {processor()} {usable_cores()}"}
    return found


def _write(path: Path, text: str) -> None:
    with new_files(path) as [file]:
        file.write(text.encode())


def _missing(source: ConfigFile, key: str, what: str) -> InvalidConfigError:
    message = f"'{printable(source.path)}' names no {what} to work on: [run] {key}"
    return InvalidConfigError(message, hint=f"write `{key} = ...` under [run], or give --{key}")
