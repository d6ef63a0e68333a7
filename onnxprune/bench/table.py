"""The results of a benchmark as tables for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich import box
from rich.table import Table

from onnxprune.errors import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from onnxprune.bench.document import BenchReport, ComparisonEntry, RunEntry
    from onnxprune.providers.document import ProvidersReport

__all__ = ["bench_tables", "provider_table"]

_ROWS: Final = 8
_VERDICTS: Final = {"faster": "faster", "not_faster": "not faster", "inconclusive": "inconclusive"}
_MIB: Final = 1 << 20


def bench_tables(report: BenchReport) -> list[RenderableType]:
    """Return the tables of a benchmark: runs, comparisons, and where the time went."""
    parts: list[RenderableType] = []
    if report.runs:
        parts.append(_runs(report.runs))
    if report.comparisons:
        parts.append(_comparisons(report.comparisons))
        for entry in report.comparisons:
            if len(entry.operators) > 1:
                parts += [_operators(entry), _by_op(entry)]
    for key, test in report.self_tests.items():
        parts.append(
            f"  {key}: against itself {test.ratio:.3f} [{test.ci99[0]:.3f}, {test.ci99[1]:.3f}]"
            + ("" if test.passed else ", so this machine is too uneven at the moment")
        )
    machine = report.environment.machine
    load = "" if machine.load_average is None else f", load {machine.load_average[0]:g}"
    where = printable(report.environment.target or "")
    where += ": " if where else ""
    cpu = f"{where}{printable(machine.cpu)}"
    parts.append(f"  {cpu}, {machine.cores} cores{load}; times are wall times per run.")
    return parts


def provider_table(report: ProvidersReport) -> list[RenderableType]:
    """Return the table of providers."""
    table = _table(
        "Execution providers", ("name", "here", "device", "what it is in, or how to get it")
    )
    for entry in report.providers:
        usable = entry.presence in ("built-in", "plugin")
        here = entry.presence + (" (emulator)" if entry.emulated else "")
        seen = entry.detail if usable or entry.presence == "no device" else entry.install
        table.add_row(entry.name, here, entry.device, printable(seen, limit=300))
    runtime = report.onnxruntime
    seen = f"ONNX Runtime {runtime}" if runtime else "no ONNX Runtime in this environment"
    return [
        table,
        f"  {seen}; a build of it with other providers goes into an environment of its own.",
    ]


def _runs(runs: Sequence[RunEntry]) -> Table:
    table = _table(
        "Runs",
        ("model", "provider", "threads"),
        ("p50 ms", "p90 ms", "p99 ms", "load ms", "first ms", "peak MiB", "nodes", "MACs"),
    )
    for run in runs:
        table.add_row(
            _name(run.model),
            printable(run.provider),
            str(run.threads),
            *(_number(ms) for ms in (run.p50_ms, run.p90_ms, run.p99_ms)),
            _number(run.load_ms),
            _number(run.first_run_ms),
            "-" if run.peak_rss_bytes is None else f"{run.peak_rss_bytes / _MIB:.0f}",
            f"{run.share:.1%}",
            "-" if run.macs_share is None else f"{run.macs_share:.1%}",
        )
    return table


def _comparisons(entries: Sequence[ComparisonEntry]) -> Table:
    table = _table(
        "Compared with the first model",
        ("model", "provider", "threads"),
        ("time ratio", "95 % interval", "MACs ratio", "against itself"),
        ("verdict",),
    )
    for entry in entries:
        table.add_row(
            _name(entry.candidate),
            printable(entry.provider),
            str(entry.threads),
            f"{entry.ratio:.3f}",
            f"{entry.ci95[0]:.3f} .. {entry.ci95[1]:.3f}",
            "-" if entry.macs_ratio is None else f"{entry.macs_ratio:.3f}",
            f"{entry.self_test.ratio:.3f}",
            f"{_VERDICTS[entry.verdict]}"
            + (f": {entry.reason}" if entry.verdict == "inconclusive" else ""),
        )
    return table


def _operators(entry: ComparisonEntry) -> Table:
    table = _table(
        f"Where the time went: {_name(entry.candidate)} on {printable(entry.provider)}, "
        f"threads: {entry.threads}",
        ("node", "op"),
        ("before us", "after us", "time ratio", "MACs ratio"),
    )
    for pair in entry.operators[:_ROWS]:
        table.add_row(
            printable(pair.node, limit=60),
            printable(pair.op),
            _number(pair.before_us),
            _number(pair.after_us),
            _ratio(pair.before_us, pair.after_us),
            _ratio(pair.before_macs, pair.after_macs),
        )
    return table


def _by_op(entry: ComparisonEntry) -> Table:
    table = _table(
        "The same by operator", ("op",),
        ("nodes before", "after", "before us", "after us", "time ratio"),
    )  # fmt: skip
    for total in entry.by_op[:_ROWS]:
        table.add_row(
            printable(total.op), str(total.before_nodes), str(total.after_nodes),
            _number(total.before_us), _number(total.after_us),
            _ratio(total.before_us, total.after_us),
        )  # fmt: skip
    return table


def _table(
    title: str, left: Sequence[str], right: Sequence[str] = (), last: Sequence[str] = ()
) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for name in left:
        table.add_column(name, overflow="fold")
    for name in right:
        table.add_column(name, justify="right")
    for name in last:
        table.add_column(name, overflow="fold")
    return table


def _name(path: str) -> str:
    return printable(path.replace("\\", "/").rpartition("/")[2])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _ratio(before: float | None, after: float | None) -> str:
    return "-" if not before or after is None else f"{after / before:.2f}"
