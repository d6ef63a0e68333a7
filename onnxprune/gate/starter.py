"""A configuration to start from, written after looking at the model."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from onnxprune import pipeline
from onnxprune.analysis import analyze_model
from onnxprune.bench.protocol import Protocol
from onnxprune.bench.run import benchmark
from onnxprune.bench.workload import read_subject
from onnxprune.errors import (
    InvalidConfigError,
    NothingToPruneError,
    OnnxPruneError,
    TargetError,
    printable,
)
from onnxprune.gate.probes.operators import used_operators, used_opsets
from onnxprune.report.shares import totals
from onnxprune.report.tables import count, percent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onnxprune.analysis import Analysis
    from onnxprune.bench.document import RunEntry
    from onnxprune.core.plan import PrunePlan

__all__ = ["starting_config"]

_TARGETS: Final = (0.3, 0.2, 0.1, 0.05)
_SLACK: Final = 0.03
_NO_SLOWER: Final = 1.05
_BUDGET_S: Final = 5.0
_WIDTH: Final = 96
_METADATA_BYTES: Final = 2000  # what provenance takes, and constants that follow a cut


@dataclass(frozen=True, slots=True)
class _Looked:
    """What was seen of a model."""

    analysis: Analysis
    dims: Mapping[str, int]
    macs: int
    run: RunEntry | None
    target: float | None
    plan: PrunePlan | None


def starting_config(
    model: str | Path, *, dims: Mapping[str, int] | None = None, folder: Path | None = None
) -> str:
    """Return the text of an onnxprune.toml with limits that fit a model.

    The model is analysed, a plan for it is tried, and it is run for a few seconds. What was
    measured is in comments; limits are what a pruned model reaches, with a little room.

    Args:
        model: The file.
        dims: Sizes of symbolic dimensions.
        folder: Where the configuration is going to be; paths in it are relative to that.

    Raises:
        InvalidModelError: The file is no usable model.
    """
    path = Path(model)
    analysis = analyze_model(path, dims=dims)
    subject = read_subject(path, dims=dims or {}, batch=None)
    target, plan = _try_plan(analysis)
    looked = _Looked(
        analysis, subject.dims, subject.total_macs, _run(path, dims or {}), target, plan
    )
    name = os.path.relpath(path, folder or Path())
    return "\n".join([*_head(looked, name), "", *_limits(looked, name, dims or {}), ""])


def _try_plan(analysis: Analysis) -> tuple[float | None, PrunePlan | None]:
    """Return the largest usual target that the model allows, and a plan for it."""
    for target in _TARGETS:
        try:
            return target, pipeline.plan(analysis, remove_macs=target)
        except (NothingToPruneError, TargetError):
            continue
    return None, None


def _run(path: Path, dims: Mapping[str, int]) -> RunEntry | None:
    try:
        report = benchmark(
            [path], dims=dims, protocol=Protocol(time_budget_s=_BUDGET_S, rebuilds=2)
        )
    except OnnxPruneError:  # it may still be checked on another machine or provider
        return None
    return next(iter(report.runs), None)


def _head(looked: _Looked, name: str) -> list[str]:
    model, split = looked.analysis.model, totals(looked.analysis)
    sizes = ", ".join(f"{printable(s)}={n}" for s, n in looked.dims.items())
    lines = [
        "Limits that a pruned model has to keep to; `onnxprune check PRUNED` checks them.",
        "Every key: docs/ci.md, or `onnxprune schema config`.",
        "",
        (
            f"{printable(name)}: {count(split.params.total)} parameters, {model.size_bytes} bytes, "
            f"opset {', '.join(map(printable, used_opsets(model.proto)))};"
        ),
        f"{count(looked.macs)} multiply-accumulates" + (f" at {sizes}" if sizes else "") + ".",
        (
            f"Groups that can leave exactly hold "
            f"{percent(split.macs.prunable, split.macs.total)} of the multiply-accumulates and "
            f"{percent(split.params.prunable, split.params.total)} of the parameters."
        ),
    ]
    run = looked.run
    if run is not None and run.p50_ms is not None and run.load_ms is not None:
        memory = f", {run.peak_rss_bytes / 1e6:.0f} MB" if run.peak_rss_bytes else ""
        lines += [
            (
                f"Where this was written: a run {run.p50_ms:.3g} ms, loading {run.load_ms:.3g} ms"
                f"{memory} (CPU, 1 thread)."
            ),
            "No limit is made from that: times of another machine mean nothing, and the baseline",
            "is measured anew in every check.",
        ]
    lines += ["", *_how_to_prune(looked, name)]
    return [f"# {line}".rstrip() for line in lines]


def _how_to_prune(looked: _Looked, name: str) -> list[str]:
    if looked.plan is None:
        return ["Nothing of it can leave exactly: `onnxprune analyze` says why."]
    return [
        f"The limits fit what this makes ({looked.target:.0%} of the multiply-accumulates leave):",
        f"  onnxprune prune {printable(name)} -o pruned.onnx --plan-out plan.json \\",
        f"      --remove-macs {looked.target}",
    ]


def _limits(looked: _Looked, name: str, dims: Mapping[str, int]) -> list[str]:
    proto = looked.analysis.model.proto
    lines = [
        "[check]",
        f"baseline = {_string(name)}",
        "# plan = \"plan.json\"  # with it, a repaired model can be proven as well",
    ]  # fmt: skip
    if dims:
        sizes = ", ".join(f"{_string(symbol)} = {size}" for symbol, size in dims.items())
        lines.append(f"dims = {{{sizes}}}")
    lines += [
        "",
        "# The pruned model is the baseline without the removed channels, and was made from it.",
        "verified = true",
        "provenance = true",
        "",
        *_sizes(looked),
        "",
        "# Not slower than the baseline: the upper end of the interval of the ratio. Identical",
        "# models have intervals around 1, so do not ask for less than you gained (`onnxprune",
        "# bench`).",
        f"max-latency-ratio = {_NO_SLOWER}",
        "# max-load-ratio = 1.2",
        "# max-memory-ratio = 1.0",
        "",
        "# Nothing that the device does not know.",
        f"allow-opsets = [{', '.join(_opset(o) for o in used_opsets(proto))}]",
        *_wrapped("allow-ops", used_operators(proto)),
        "",
        "# What it answers, on samples of yours (.npz, .npy or a directory of them).",
        "# test-data = \"samples.npz\"",
        "# min-agreement = 0.98",
        "# metric = \"evaluate:accuracy\"  # accuracy(run) of evaluate.py; run(feed) -> outputs",
        "# max-metric-drop = 0.01",
        "# labels = \"labels.npy\"  # of all of test-data; groups = \"groups.csv\" for subgroups",
        "# max-group-drop = 0.05",
    ]  # fmt: skip
    return lines


def _sizes(looked: _Looked) -> list[str]:
    """Return limits a little above what the plan predicts."""
    if looked.plan is None:
        return ["# max-macs-ratio = 0.7", "# max-params-ratio = 0.7", "# max-bytes-ratio = 0.7"]
    limits = {k: _rounded_up(looked.plan.predicted[k]) for k in ("macs", "params")}
    overhead = _METADATA_BYTES / looked.analysis.model.size_bytes
    return [
        "# Shares of the baseline.",
        f"max-macs-ratio = {limits['macs']}",
        f"max-params-ratio = {limits['params']}",
        f"max-bytes-ratio = {_rounded_up(limits['params'] + overhead)}",
    ]


def _rounded_up(share: float) -> float:
    return math.ceil((share + _SLACK) * 100) / 100


def _opset(text: str) -> str:
    return text if text.isdecimal() else _string(text)


def _wrapped(key: str, values: list[str]) -> list[str]:
    lines, line = [f"{key} = ["], " "
    for value in map(_string, values):
        if len(line) + len(value) > _WIDTH:
            lines.append(line)
            line = " "
        line += f" {value},"
    return [*lines, line, "]"]


def _string(text: str) -> str:
    r"""Return a TOML string in plain ASCII.

    Raises:
        InvalidConfigError: It holds what is no character.

    Examples:
        >>> print(_string('a"b\n'))
        "a\"b\u000a"
    """
    if any("\ud800" <= c <= "\udfff" for c in text):
        message = f"the name '{printable(text)}' is no text, and cannot stand in a configuration"
        raise InvalidConfigError(message)
    return '"' + "".join(map(_character, text)) + '"'


def _character(c: str) -> str:
    if c in '"\\':
        return f"\\{c}"
    if c.isascii() and c.isprintable():
        return c
    return f"\\u{ord(c):04x}" if ord(c) < 0x10000 else f"\\U{ord(c):08x}"
