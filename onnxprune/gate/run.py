"""The verb: check a pruned model against limits. Nothing passes that was not measured."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from onnxprune.config import CheckSection, ConfigFile, find_config, parse_section, read_config
from onnxprune.errors import InternalError, InvalidConfigError, OnnxPruneError, printable
from onnxprune.gate.document import CheckFile, CheckReport
from onnxprune.gate.entries import unmeasured
from onnxprune.gate.job import Job
from onnxprune.gate.probes import PROBES, given_limits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onnxprune.gate.document import CheckEntry
    from onnxprune.gate.probes import Probe
    from onnxprune.io import Model
    from onnxprune.stages import Progress

__all__ = ["check", "run_checks"]


def check(  # as the command
    pruned: str | Path,
    *,
    config: str | Path | None = None,
    static: bool = False,
    pythons: Mapping[str, Path] | None = None,
    progress: Progress | None = None,
    **settings: Any,  # noqa: ANN401  # the keys of the section
) -> CheckReport:
    """Check a pruned model against limits; the baseline is measured beside it.

    Args:
        pruned: The model.
        config: The file with the limits; by default onnxprune.toml or pyproject.toml in the
            working directory, if there is one.
        static: Whether to leave out what runs a model.
        pythons: Interpreters by provider's name; "" is for all others.
        progress: Called with what is being done, and how much of how much.
        settings: Keys of `onnxprune.config.CheckSection`; they replace those of the file.

    Raises:
        InvalidModelError: A file is no usable model.
        InvalidConfigError: A setting is wrong or missing, or there is no limit at all.

    Example:
        >>> from onnxprune.demo import MODEL
        >>> report = check(MODEL, baseline=MODEL, max_bytes_ratio=0.7, static=True)
        >>> report.passed, report.checks[0].outcome, report.checks[0].value
        (False, 'fail', 1.0)
    """
    source = read_config(Path(config)) if config is not None else find_config(Path())
    section = _section(source, settings)
    job = Job(Path(pruned), section, dict(pythons or {}), progress)
    return run_checks(job, source=source, static=static)


def run_checks(job: Job, *, source: ConfigFile | None = None, static: bool = False) -> CheckReport:
    """Measure everything that a job has a limit for.

    Args:
        job: What is checked.
        source: The file that limits came from, if any did.
        static: Whether to leave out what runs a model.

    Raises:
        InvalidModelError: A file is no usable model.
        InvalidConfigError: A setting is wrong or missing, or there is no limit at all.
    """
    start = time.perf_counter()
    section = job.section
    given = given_limits(section)
    skipped = [n for p in PROBES if static and not p.static for n in p.limits if n in given]
    if len(given) == len(skipped):
        raise _nothing_to_check(source, skipped)
    job.pruned.begin_digest()
    entries: list[CheckEntry] = []
    for probe in PROBES:
        wanted = [name for name in probe.limits if name in given and name not in skipped]
        if wanted:
            entries += _measured(job, probe, wanted)
    baseline = None if section.baseline is None else _file(job.baseline)
    passed, status = _verdict(entries, section.on_inconclusive)
    return CheckReport(
        passed=passed,
        status=status,
        pruned=_file(job.pruned),
        baseline=baseline,
        config=None if source is None else str(source.path),
        on_inconclusive=section.on_inconclusive,
        checks=entries,
        skipped=[name.replace("_", "-") for name in skipped],
        notes=job.notes,
        bench=list(job.benches.values()),
        seconds=round(time.perf_counter() - start, 3),
    )


def _section(source: ConfigFile | None, settings: Mapping[str, Any]) -> CheckSection:
    found = (source and source.config.check) or CheckSection.model_validate({})
    given = {name: value for name, value in settings.items() if value is not None}
    own = parse_section(CheckSection, given, where="check")
    return found.model_copy(update={name: getattr(own, name) for name in own.model_fields_set})


def _nothing_to_check(source: ConfigFile | None, skipped: Sequence[str]) -> InvalidConfigError:
    message = "there is no limit to check, and without one nothing passes"
    if skipped:
        message = "no limit is left to check: those given run the models, and static leaves it out"
    elif source is not None:
        message += f": '{printable(source.path)}' has none"
    hint = "`onnxprune init MODEL` writes a configuration to start from, or give --max-macs-ratio"
    return InvalidConfigError(message, hint=hint)


def _measured(job: Job, probe: Probe, wanted: Sequence[str]) -> list[CheckEntry]:
    """Return the entries of a probe, and one without a value for each limit that it missed."""
    keys = [name.replace("_", "-") for name in wanted]
    try:
        entries = probe.measure(job)
    except (InvalidConfigError, InternalError):
        raise
    except OnnxPruneError as error:
        values = {key: getattr(job.section, name) for key, name in zip(keys, wanted, strict=True)}
        return [unmeasured(key, _plain(value), error) for key, value in values.items()]
    seen = {entry.name.partition("[")[0] for entry in entries}
    missed = [key for key in keys if key not in seen]
    if missed:
        message = f"the limit {missed[0]} was given and not checked"
        raise InternalError(message)
    return entries


def _plain(limit: Any) -> Any:  # noqa: ANN401  # the value of any key
    if isinstance(limit, dict):
        return [f"{provider}={value}" for provider, value in limit.items()]
    return [str(v) for v in limit] if isinstance(limit, list) else limit


def _verdict(
    entries: Sequence[CheckEntry], on_inconclusive: Literal["pass", "fail"] | None
) -> tuple[bool, Literal[0, 1, 3]]:
    """Return whether all is well, and the exit status."""
    open_ = [entry for entry in entries if entry.outcome == "inconclusive"]
    if any(entry.outcome == "fail" for entry in entries):
        return False, 1
    if not open_:
        return True, 0
    if on_inconclusive == "fail":
        return False, 1
    if on_inconclusive == "pass" and all(entry.measured for entry in open_):
        return True, 0
    return False, 3


def _file(model: Model) -> CheckFile:
    # JSON has no way to write a name that is no text.
    path = str(model.path).encode(errors="backslashreplace").decode()
    return CheckFile(path=path, sha256=model.sha256, bytes=model.size_bytes)
