"""Read the documents that commands wrote, and bring together what speaks of one model."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from onnxprune.audit import AuditReport
from onnxprune.bench.document import BenchReport, ComparisonEntry
from onnxprune.errors import InvalidConfigError, printable
from onnxprune.gate.document import CheckReport
from onnxprune.io.documents import read_document
from onnxprune.report.models import AnalysisReport, PruneReport, VerifyReport

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pydantic import BaseModel

_KINDS: dict[str, type[BaseModel]] = {
    "onnxprune.analysis/1": AnalysisReport,
    "onnxprune.audit/1": AuditReport,
    "onnxprune.bench/1": BenchReport,
    "onnxprune.check/1": CheckReport,
    "onnxprune.prune/1": PruneReport,
    "onnxprune.verify/1": VerifyReport,
}


@dataclass(slots=True)
class Candidate:
    """A pruned model and all that was found out about it.

    Attributes:
        name: its file, as short as tells it from the others.
        path: its file, as the documents have it.
        prune: how it was made.
        comparisons: its latency against the baseline's.
        verify: the outcome of a separate verification.
        check: the outcome of the gate.
        audit: whom it has forgotten.
    """

    name: str
    path: str
    prune: PruneReport | None = None
    comparisons: list[ComparisonEntry] = field(default_factory=list)
    verify: VerifyReport | None = None
    check: CheckReport | None = None
    audit: AuditReport | None = None


@dataclass(slots=True)
class Results:
    """All documents of a page.

    Attributes:
        original: the file of the original.
        candidates: what was made of it, in the order of the documents.
        benches: measurements.
        analyses: analyses.
    """

    original: str = ""
    candidates: list[Candidate] = field(default_factory=list)
    benches: list[BenchReport] = field(default_factory=list)
    analyses: list[AnalysisReport] = field(default_factory=list)

    def name(self, path: str) -> str:
        """Return the short name of a file."""
        found = _find(self.candidates, path)
        return found.name if found else shown_name(path)


def read_results(paths: Sequence[Path]) -> Results:
    """Read documents.

    Args:
        paths: files with JSON that commands wrote.

    Raises:
        InvalidConfigError: one cannot be read, or is no document that has a place on a page.
    """
    results = Results()
    documents = [_read(path) for path in paths]
    # First what makes a model, then what speaks of one.
    for document in sorted(documents, key=lambda d: not isinstance(d, PruneReport)):
        if isinstance(document, PruneReport):
            results.original = results.original or document.input.path
            _candidate(results, document.output.path, moved=False).prune = document
        elif isinstance(document, VerifyReport):
            results.original = results.original or document.original
            _candidate(results, document.pruned).verify = document
        elif isinstance(document, CheckReport):
            _candidate(results, document.pruned.path).check = document
        elif isinstance(document, AuditReport):
            results.original = results.original or document.original
            _candidate(results, document.pruned).audit = document
        elif isinstance(document, BenchReport):
            results.benches.append(document)
        elif isinstance(document, AnalysisReport):
            results.original = results.original or document.model
            results.analyses.append(document)
    _take_comparisons(results)
    _shorten(results.candidates)
    return results


def shown_name(path: str) -> str:
    """Return a file's name, safe to show."""
    return printable(PurePath(path.replace("\\", "/")).name or path, limit=60)


def _read(path: Path) -> BaseModel:
    return read_document(path, partial(_parse, printable(path)), what="no result", hint=_HINT)


def _parse(name: str, content: bytes) -> BaseModel:
    try:
        document: Any = json.loads(content)
    except (ValueError, RecursionError):
        message = f"'{name}' is no JSON"
        raise InvalidConfigError(message, hint=_HINT) from None
    kind = document.get("format") if isinstance(document, dict) else None
    reader = _KINDS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        seen = f"has format '{printable(kind)}'" if kind is not None else "says no format"
        message = f"'{name}' {seen}, wanted is one of {', '.join(_KINDS)}"
        raise InvalidConfigError(message, hint=_HINT)
    return reader.model_validate(document)


_HINT = "give files that prune --report, bench, check, verify, audit or analyze wrote as JSON"


def _find(candidates: Sequence[Candidate], path: str, *, moved: bool = True) -> Candidate | None:
    """Return the candidate in a file, which may have been moved between two documents."""
    same = [c for c in candidates if c.path == path]
    named = [c for c in candidates if PurePath(c.path).name == PurePath(path).name]
    return same[0] if same else named[0] if moved and len(named) == 1 else None


def _candidate(results: Results, path: str, *, moved: bool = True) -> Candidate:
    found = _find(results.candidates, path, moved=moved)
    if found is None:
        found = Candidate(shown_name(path), path)
        results.candidates.append(found)
    return found


def _take_comparisons(results: Results) -> None:
    for bench in results.benches:
        for comparison in bench.comparisons:
            results.original = results.original or comparison.baseline
            _candidate(results, comparison.candidate).comparisons.append(comparison)
        if bench.runs:
            results.original = results.original or bench.runs[0].model


def _shorten(candidates: Sequence[Candidate]) -> None:
    """Leave out the ending that all names share."""
    for candidate in candidates:
        if candidate.name.endswith(".onnx") and len(candidate.name) > len(".onnx"):
            candidate.name = candidate.name.removesuffix(".onnx")
