"""Many ways to prune one model, side by side: each once, whatever is interrupted."""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Mapping  # noqa: TC003  # a field is read at run time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxprune import pipeline
from onnxprune.bench.protocol import Protocol
from onnxprune.bench.run import benchmark
from onnxprune.config import PruneSection, parse_section
from onnxprune.errors import InvalidConfigError, OnnxPruneError, printable
from onnxprune.io.outfile import new_files
from onnxprune.version import __version__
from onnxprune.workflow.state import digest_of, digest_of_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["FORMAT", "SweepReport", "sweep"]

FORMAT = "onnxprune.sweep/1"
_PATHS = ("calibration",)
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9.]+")


@dataclass(slots=True)
class SweepReport:
    """What a sweep found.

    Attributes:
        path: the file of results, one JSON object a line, in the order of the jobs.
        rows: its lines.
        skipped: jobs that an earlier sweep had done.
    """

    path: Path
    rows: list[dict[str, Any]] = field(default_factory=list)
    skipped: int = 0

    @property
    def failed(self) -> list[dict[str, Any]]:
        """Jobs that ended with an error."""
        return [row for row in self.rows if row["error"]]


@dataclass(frozen=True, slots=True)
class Job:
    """One job, as it travels to other processes and machines.

    Attributes:
        number: its place in the sweep.
        key: digest of all that its result depends on.
        options: options of `prune`.
        source: the model.
        folder: where its files go.
        name: their name without an ending.
        providers: where its result is measured.
        time_budget: seconds for one comparison.
    """

    number: int
    key: str
    options: Mapping[str, Any]
    source: Path
    folder: Path
    name: str
    providers: tuple[str, ...]
    time_budget: float


def sweep(
    model: str | Path,
    output: str | Path,
    *,
    vary: Mapping[str, Sequence[Any]],
    providers: Sequence[str] = (),
    time_budget: float = 30.0,
    jobs: int = 1,
    scheduler: str | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> SweepReport:
    """Prune a model in every combination of some options, and measure each.

    A result is written when its job ends. A sweep that is started again does what is missing: a job
    is known by the model, its options and the version of this program. One that fails is a result.

    Args:
        model: the model.
        output: a directory for the pruned models and `results.jsonl`.
        vary: values by option of `onnxprune prune`; one value is the same for all jobs.
        providers: execution providers to measure each result on; none for no measurement.
        time_budget: seconds for one comparison.
        jobs: how many at a time; measurements disturb each other, so more than one only without
            providers, or on a cluster.
        scheduler: a Dask scheduler, as `dask://host:port`, whose workers see the same files.
        progress: called with what is being done, and how much of how much.

    Raises:
        InvalidConfigError: an option is unknown or has no such value, or Dask is not installed.
    """
    folder = Path(output).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    source = Path(model).absolute()
    known = {"model": pipeline.load(source).sha256, "tool": __version__, "on": list(providers)}
    varied = [name for name in vary if len(vary[name]) > 1]
    report = SweepReport(folder / "results.jsonl")
    combinations = _combinations(vary)
    with _lock(folder):
        done = _read(report.path)
        todo = []
        for number, options in enumerate(combinations):
            files = {k: digest_of_file(Path(options[k])) for k in _PATHS if k in options}
            key = digest_of({**known, "options": options, "files": files})
            if key in done:
                report.rows.append(done.pop(key) | {"job": number})
                continue
            words = [f"{number:04d}", *(f"{k}-{options[k]}" for k in varied if k in options)]
            name = f"{_NOT_PLAIN.sub('-', '-'.join(words))[:80]}-{key[:6]}"
            job = Job(number, key, options, source, folder, name, tuple(providers), time_budget)
            todo.append(job)
        report.skipped = len(report.rows)
        with _backend(scheduler):
            _work(report, todo, jobs, progress or (lambda _what, _done, _total: None))
        report.rows.sort(key=lambda row: row["job"])
        with new_files(report.path) as [file]:  # what other sweeps found here stays
            file.write("".join(map(_line, [*report.rows, *done.values()])).encode())
    return report


def _work(
    report: SweepReport, todo: Sequence[Job], jobs: int, tell: Callable[[str, int, int], None]
) -> None:
    """Do the jobs, and append each result as it comes."""
    from joblib import Parallel, delayed  # noqa: PLC0415  # slow to import

    tell("sweep", 0, len(todo))
    _drop_torn_line(report.path)
    with report.path.open("ab") as file:
        workers = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)
        for count, row in enumerate(workers(delayed(run_job)(job) for job in todo), 1):
            file.write(_line(row).encode())
            file.flush()
            os.fsync(file.fileno())
            report.rows.append(row)
            tell("sweep", count, len(todo))


def run_job(job: Job) -> dict[str, Any]:
    """Do one job and return its line; whatever happens inside is its result, not the sweep's."""
    small = job.folder / f"{job.name}.onnx"
    row: dict[str, Any] = {
        "format": FORMAT, "job": job.number, "key": job.key, "options": job.options,
        "file": small.name, "error": None, "achieved": None, "verified": None, "fidelity": None,
        "metric": None, "comparisons": [],
    }  # fmt: skip
    try:
        options: Any = job.options
        done = pipeline.prune(
            job.source, small, report=job.folder / f"{job.name}.prune.json", **options
        ).model_dump(mode="json")
        row |= {k: done[k] for k in ("achieved", "verified", "fidelity", "metric")}
        row["output"] = {k: done["output"][k] for k in ("sha256", "bytes", "params", "macs")}
        if job.providers:
            row |= _measured(job, small)
    except OnnxPruneError as error:
        row["error"] = error.message
    except Exception as error:  # noqa: BLE001  # one job never ends the others
        row["error"] = f"internal: {type(error).__name__}: {error}"
    return row


def _measured(job: Job, small: Path) -> dict[str, Any]:
    """Measure a result beside the original."""
    protocol = Protocol(time_budget_s=job.time_budget)
    found = benchmark([job.source, small], providers=job.providers, protocol=protocol)
    with new_files(job.folder / f"{job.name}.bench.json") as [file]:
        file.write(found.to_json().encode())
    wanted = {"provider", "threads", "ratio", "ci95", "verdict"}
    return {
        "comparisons": [c.model_dump(mode="json", include=wanted) for c in found.comparisons],
        "error": "; ".join(f.error for f in found.failures) or None,
    }


def _combinations(vary: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Return the options of every job, checked.

    Raises:
        InvalidConfigError: an option is unknown, or a value is not what it takes.
    """
    names = list(vary)
    found = []
    for values in itertools.product(*vary.values()):
        given = dict(zip(names, values, strict=True))
        section = parse_section(PruneSection, given, where="--vary")
        options = section.model_dump(mode="json", exclude_none=True)
        for name in _PATHS:
            if name in options and options[name] != "synthetic":
                options[name] = str(Path(options[name]).absolute())
        found.append(options)
    if not found or not names:
        message = "nothing is varied"
        raise InvalidConfigError(message, hint="give --vary ratio=0.1,0.2,0.3, for example")
    return found


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """Return the lines of a file of results by key; a line that was not finished is none."""
    found: dict[str, dict[str, Any]] = {}
    if not path.exists():
        return found
    for line in path.read_bytes().split(b"\n"):
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and row.get("format") == FORMAT:
            found[row["key"]] = row
    return found


def _drop_torn_line(path: Path) -> None:
    """Cut off what a sweep that was killed left of a line."""
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        with path.open("rb+") as file:
            file.truncate(len(whole))


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, sort_keys=True, default=str) + "\n"


@contextmanager
def _backend(scheduler: str | None) -> Iterator[None]:
    """Choose where jobs run.

    Raises:
        InvalidConfigError: an unknown scheduler, or its package is missing.
    """
    from joblib import parallel_config  # noqa: PLC0415

    if scheduler is None:
        yield
        return
    kind, _, address = scheduler.partition("://")
    if kind != "dask" or not address:
        message = f"there is no scheduler '{printable(scheduler)}'"
        raise InvalidConfigError(message, hint="write dask://HOST:PORT")
    try:
        from distributed import Client  # noqa: PLC0415
    except ImportError as error:
        message = "the scheduler is Dask's, and its package is not installed"
        raise InvalidConfigError(message, hint="pip install 'onnxprune[dask]'") from error
    try:
        client = Client(f"tcp://{address}", timeout=10)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        message = f"no Dask scheduler answers at '{printable(address)}'"
        raise InvalidConfigError(message, hint="start one with `dask scheduler`") from error
    with client, parallel_config(backend="dask"):
        yield


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Keep a second sweep out of a directory.

    Raises:
        InvalidConfigError: there is one at work.
    """
    try:
        import fcntl  # noqa: PLC0415  # there is none on Windows
    except ImportError:
        yield
        return
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            message = f"another sweep is at work in '{printable(folder)}'"
            raise InvalidConfigError(message, hint="wait for it, or give another directory") from (
                error
            )
        yield
