"""Audit a pruned model: run it beside its original on labelled samples, and compare."""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from onnxprune.audit import statistics
from onnxprune.audit.annotations import read_annotations
from onnxprune.audit.corruption import SEVERITIES, applicable
from onnxprune.audit.document import AuditReport
from onnxprune.audit.findings import Findings
from onnxprune.audit.replicas import make_replicas
from onnxprune.calibration import load_calibration
from onnxprune.errors import InvalidConfigError, InvalidModelError, printable
from onnxprune.fidelity.scores import ClassScores, find_class_scores
from onnxprune.io import load_model
from onnxprune.runtime.batches import single_samples
from onnxprune.runtime.inputs import input_specs
from onnxprune.runtime.isolate import run_isolated

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx

    from onnxprune.audit.predictions import Spoiled
    from onnxprune.runtime.feeds import Feed
    from onnxprune.stages import Progress

__all__ = ["DEFAULT_SEVERITIES", "audit"]

DEFAULT_SEVERITIES: Final = (1, 3, 5)

_TIMEOUT_S: Final = 24 * 3600.0
_MEMORY_BYTES: Final = 16 << 30


def audit(  # noqa: PLR0913  # as the command
    original: str | Path,
    pruned: str | Path,
    *variants: str | Path,
    data: str | Path,
    labels: str | Path,
    groups: str | Path | None = None,
    replicas: int = 0,
    plan: str | Path | None = None,
    calibration: str | Path | None = None,
    output: str | None = None,
    severities: Sequence[int] = DEFAULT_SEVERITIES,
    threads: int = 1,
    seed: int = 0,
    progress: Progress | None = None,
) -> AuditReport:
    """Find samples, classes and subgroups that a pruned model has forgotten.

    Args:
        original: the original.
        pruned: the pruned model.
        variants: further pruned models of the same original; they tell which changes stay.
        data: labelled samples, as for `--calibration`.
        labels: the class of each sample; see `onnxprune.audit.annotations`.
        groups: the subgroup of each sample.
        replicas: how many variants to make on resampled calibration data.
        plan: the plan that the pruned model was made with, for replicas.
        calibration: the samples that the plan was made with, for replicas.
        output: the output with class scores; by default the first that has some.
        severities: how much samples are corrupted, from 1 to 5; empty for not at all.
        threads: threads within an operator.
        seed: of resampling and of noise.
        progress: called with what is being done, and how much of how much.

    Raises:
        InvalidModelError: a file is no usable classifier.
        InvalidConfigError: the data is missing or does not fit the model, or labels do not fit it.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from onnxprune.demo import EVALUATION, MODEL, load_digits
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/images.npy", load_digits()[0])
        ...     report = audit(
        ...         MODEL, MODEL, data=f"{folder}/images.npy", labels=EVALUATION, severities=())
        >>> report.samples, report.accuracy.drop, report.hurt, report.exemplars
        (599, 0.0, [], [])
    """
    start = time.perf_counter()
    job = _read(Path(original), Path(data), output)
    labelled = read_annotations(Path(labels), "label")
    grouped = None if groups is None else read_annotations(Path(groups), "group")
    spoilings = _spoilings(job, severities)
    files = [Path(original), Path(pruned), *map(Path, variants)]
    for path in files[1:]:
        load_model(path)  # mistakes first
    with tempfile.TemporaryDirectory(prefix="onnxprune-") as folder:
        if replicas:
            if plan is None or calibration is None:
                message = "replicas are made as a plan was, on resampled calibration data"
                raise InvalidConfigError(message, hint="give --plan and --calibration with them")
            files += make_replicas(
                files[0], Path(plan), Path(calibration), Path(folder),
                count=replicas, seed=seed, progress=progress,
            )  # fmt: skip
        clean, spoiled = run_isolated(
            "onnxprune.audit.predictions:predict",
            {
                "models": files, "feeds": job.feeds, "output": job.output, "scores": job.scores,
                "corruptions": spoilings, "seed": seed, "threads": threads,
            },
            timeout_s=_TIMEOUT_S, memory_limit_bytes=_MEMORY_BYTES, task="audit",
            progress=lambda done, total: progress and progress("running the models", done, total),
        )  # fmt: skip
    found = Findings(job.feeds, clean, labelled, grouped, seed)
    return AuditReport(
        original=_shown(files[0]), pruned=_shown(files[1]),
        variants=[_shown(path) for path in variants], replicas=replicas, output=job.output,
        samples=found.samples, level=statistics.LEVEL, accuracy=found.overall(),
        classes=found.classes(), groups=found.groups(), flipped=found.flipped(),
        exemplars=found.exemplars(), calibration=found.calibration(),
        robustness=[found.corrupted(key, answers) for key, answers in spoiled.items()],
        notes=job.notes, seconds=round(time.perf_counter() - start, 3),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Job:
    """The samples, and where the answers are."""

    feeds: list[Feed]
    output: str
    scores: ClassScores
    notes: list[str]


def _read(original: Path, data: Path, output: str | None) -> _Job:
    model = load_model(original)
    notes: list[str] = []
    name, scores = _class_output(model.proto, output, notes)
    specs = input_specs(model.proto)
    feeds = single_samples(load_calibration(data, specs, samples=sys.maxsize), specs)
    return _Job(feeds, name, scores, notes)


def _class_output(
    proto: onnx.ModelProto, wanted: str | None, notes: list[str]
) -> tuple[str, ClassScores]:
    known = find_class_scores(proto)
    names = [output.name for output in proto.graph.output]
    if wanted is None and known:
        return next(iter(known.items()))
    listed = ", ".join(f"'{printable(name)}'" for name in names)
    if wanted is None:
        message = f"no output is known to hold class scores: outputs are {listed}"
        raise InvalidModelError(message, hint="name the one that does with --output")
    if wanted not in names:
        message = f"there is no output '{printable(wanted)}': outputs are {listed}"
        raise InvalidConfigError(message)
    if wanted not in known:
        rank = len(proto.graph.output[names.index(wanted)].type.tensor_type.shape.dim)
        if rank < 2:
            message = f"output '{printable(wanted)}' has {rank} dimensions; class scores have two"
            raise InvalidConfigError(message)
        notes.append(f"output {wanted} is taken as unnormalised scores over its last axis")
        return wanted, ClassScores(rank - 1, "logits")
    return wanted, known[wanted]


def _spoilings(job: _Job, severities: Sequence[int]) -> list[Spoiled]:
    for severity in severities:
        if severity not in SEVERITIES:
            message = f"severity is {severity}, wanted is a whole number from 1 to 5"
            raise InvalidConfigError(message)
    names = applicable(job.feeds[0])
    if severities and not names:
        job.notes.append("no input holds fractions or an image: nothing was corrupted")
    return [(name, severity) for name in names for severity in sorted(set(severities))]


def _shown(path: str | Path) -> str:
    # JSON has no way to write a name that is no text.
    return str(path).encode(errors="backslashreplace").decode()
