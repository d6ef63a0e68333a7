"""Write the results of `run.py` as a page of Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

STAGES = ("load", "analyze", "plan", "apply", "verify")
MEGA = 1e6
_COMPARISON = (
    "*analyze + plan + apply* (with checksums of both files, and the pruned file on the disk) "
    "against building the dependency graph, importance and pruning (in memory); wanted is at most "
    "half. Where processor time says something else than the clock, the machine was busy."
)


def markdown(results: dict[str, Any]) -> str:
    """Return the page: times by stage, the comparison, memory, and what it was measured on."""
    good = {n: r for n, r in results["networks"].items() if "error" not in r}
    bad = {n: r["error"] for n, r in results["networks"].items() if "error" in r}
    parts = [
        "# How fast the tool itself is",
        _setting(results),
        "## Seconds by stage",
        "Median, in brackets least to greatest, of processes that prune a file and verify it.",
        _table(["network", *STAGES], [_stages(n, r) for n, r in good.items()]),
        "## Beside Torch-Pruning",
        _COMPARISON,
        _table(
            ["network", "onnxprune", "Torch-Pruning", "ratio", "ratio of processor time",
             "parameters left", "by Torch-Pruning"],
            [_peer(n, r) for n, r in good.items()],
        ),
        *_notes(good),
        "## Peak memory of `onnxprune prune --no-verify`",
        "Permitted are 2.5 times the file and 300 MB. Pages of the mapped file count.",
        _table(
            ["network", "file", "peak", "times the file", "permitted"],
            [_memory(n, r) for n, r in good.items()],
        ),
        *(f"{name} failed: {error}" for name, error in bad.items()),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _setting(results: dict[str, Any]) -> str:
    machine, settings = results["machine"], results["settings"]
    versions = ", ".join(f"{k} {v}" for k, v in results["versions"].items())
    return (
        f"`--ratio {settings['ratio']} --criterion {settings['criterion']}`, "
        f"{settings['repeat']} repetitions, {settings['threads']} thread, both programs in turns; "
        f"{machine['processor']}, {machine['cores']} cores, "
        f"{machine['memory_bytes'] / 2**30:.0f} GiB, {machine['system']}, "
        f"load {machine['load_average']} at the start; Python {machine['python']}, {versions}."
    )


def _seconds(summary: dict[str, float]) -> str:
    return f"{summary['median']:.2f} ({summary['min']:.2f} to {summary['max']:.2f})"


def _stages(name: str, result: dict[str, Any]) -> list[str]:
    return [name, *(_seconds(result["seconds"][s]) for s in STAGES)]


def _peer(name: str, result: dict[str, Any]) -> list[str]:
    peer = result.get("peer", {})
    failed = "fails" if peer else "not run"
    mark = " *" if "error" in peer else ""
    return [
        name,
        _seconds(result["compared_seconds"]),
        (_seconds(peer["compared_seconds"]) if "compared_seconds" in peer else failed) + mark,
        f"{result['ratio_seconds']:.2f}" if "ratio_seconds" in result else "",
        f"{result['ratio_cpu_seconds']:.2f}" if "ratio_cpu_seconds" in result else "",
        f"{result['params']:.3f}",
        f"{peer['params']:.3f}" if "params" in peer else "",
    ]


def _notes(good: dict[str, Any]) -> list[str]:
    notes = []
    for name, result in good.items():
        peer = result.get("peer", {})
        if "error" in peer:
            repair = f"; it does with {peer['repair']}" if "repair" in peer else ""
            notes.append(f"\\* {name}: {peer['error']}{repair}.")
    return notes


def _memory(name: str, result: dict[str, Any]) -> list[str]:
    size, peak = result["file_bytes"], result["peak_bytes"]
    permitted = result["peak_bytes_permitted"]
    return [
        name, f"{size / MEGA:.0f} MB", f"{peak / MEGA:.0f} MB", f"{peak / size:.2f}",
        f"{permitted / MEGA:.0f} MB",
    ]  # fmt: skip
