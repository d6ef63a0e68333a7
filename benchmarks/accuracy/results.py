"""What was measured on one task: kept as JSON, and shown as a Markdown table and an SVG plot."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from textwrap import fill
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = "onnxprune.accuracy/1"
LINES = 8
"""Methods in the plot beside the controls."""

Method = tuple[str, str, str, str]
Cell = tuple[float, float, float]
CONTROLS = (("onnxprune", "random", "none", "uniform"), ("onnxprune", "l2", "none", "uniform"))


@dataclass(frozen=True, kw_only=True)
class Row:
    """One pruned model.

    Attributes:
        tool: What pruned it.
        criterion: How channels were scored.
        recovery: How the rest was repaired.
        allocation: How groups shared what was to be removed.
        target: What was asked for.
        seed: The seed of everything random.
        metric: The task's metric; None where pruning failed.
        macs_removed: Share of the multiply-accumulates that is gone.
        params_removed: Share of the parameters that is gone.
        seconds: What pruning took, by stage where the tool tells.
        error: Why there is no metric.
    """

    tool: str = "onnxprune"
    criterion: str
    recovery: str
    allocation: str
    target: str
    seed: int = 0
    metric: float | None = None
    macs_removed: float | None = None
    params_removed: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    error: str | None = None

    @property
    def method(self) -> Method:
        """What distinguishes rows of one target."""
        return self.tool, self.criterion, self.recovery, self.allocation

    @property
    def key(self) -> tuple[object, ...]:
        """What distinguishes rows."""
        return *self.method, self.target, self.seed


@dataclass(kw_only=True)
class Results:
    """All that was measured on one task."""

    task: str
    metric_name: str
    model: str
    model_sha256: str
    unpruned: float
    samples: int
    environment: dict[str, str]
    command: str
    rows: dict[tuple[object, ...], Row] = field(default_factory=dict)

    def add(self, row: Row) -> None:
        """Keep a row, in the place of an older one of the same key."""
        self.rows[row.key] = row

    def take_over(self, path: Path) -> None:
        """Keep the rows of a file that was written for the same model and samples."""
        if not path.is_file():
            return
        old = json.loads(path.read_text(encoding="utf-8"))
        same = ("format", "model_sha256", "samples", "unpruned")
        if all(old.get(name) == value for name, value in self._head().items() if name in same):
            for row in old["rows"]:
                self.add(Row(**row))

    def write(self, folder: Path) -> None:
        """Write the three files of this task."""
        folder.mkdir(parents=True, exist_ok=True)
        rows = [asdict(self.rows[key]) for key in sorted(self.rows, key=str)]
        text = json.dumps(self._head() | {"rows": rows}, indent=1)
        (folder / f"{self.task}.json").write_text(text + "\n", encoding="utf-8")
        (folder / f"{self.task}.md").write_text(self.table(), encoding="utf-8")
        self.plot(folder / f"{self.task}.svg")

    def _head(self) -> dict[str, Any]:
        own = {k: v for k, v in vars(self).items() if k != "rows"}
        return {"format": FORMAT} | own

    def table(self) -> str:
        """Return a table of methods by targets: metric, and in brackets the MACs removed."""
        cells = self._means()
        targets = sorted({target for _, target in cells}, key=_target_order)
        best = {t: max(c[0] for (_, other), c in cells.items() if other == t) for t in targets}
        methods = sorted({method for method, _ in cells}, key=lambda m: -self._height(cells, m))
        names = ", ".join(f"{k} {v}" for k, v in self.environment.items())
        lines = [
            f"# {self.task}",
            "",
            (
                f"{self.metric_name} of `{self.model}`: {self.unpruned:.4f} unpruned. "
                f"{self.samples} unlabelled samples, no training. In brackets: share of the "
                "multiply-accumulates removed. Of several draws of samples, or seeds of a control: "
                "mean and standard deviation."
            ),
            "",
            f"`{self.command}` ({names})",
            "",
            f"![{self.metric_name} against MACs removed]({self.task}.svg)",
            "",
            "| " + " | ".join(["tool", "criterion", "recovery", "allocation", *targets]) + " |",
            "|" + "---|" * (4 + len(targets)),
        ]
        for method in methods:
            shown = [_cell(cells.get((method, target)), best[target]) for target in targets]
            lines.append("| " + " | ".join([*method, *shown]) + " |")
        failed = sorted({f"{' '.join(r.method)} {r.target}: {r.error}" for r in self._failed()})
        if failed:
            lines += ["", "Without a result:", "", *(f"- {text}" for text in failed)]
        return "\n".join(lines) + "\n"

    def plot(self, path: Path) -> None:
        """Draw the controls and the best methods, metric against MACs removed."""
        mpl.use("svg")
        from matplotlib import pyplot as plt  # noqa: PLC0415  (after the choice of the back end)

        mpl.rcParams["svg.hashsalt"] = self.task
        cells = self._means()
        methods = sorted({m for m, _ in cells}, key=lambda m: -self._height(cells, m))
        others = [m for m in methods if m not in CONTROLS][:LINES]
        figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
        for method in [*others, *(m for m in CONTROLS if m in methods)]:
            points = sorted((c[1], c[0]) for (m, _), c in cells.items() if m == method)
            removed, metric = zip((0.0, self.unpruned), *points, strict=True)
            style = ":" if method in CONTROLS else "--" if method[0] != "onnxprune" else "-"
            name = " + ".join(part for part in method[1:3] if part != "none")
            label = name if method[0] == "onnxprune" else f"{method[0]} {name}"
            axes.plot(removed, metric, style, marker=".", label=f"{label}, {method[3]}")
        axes.set(xlabel="multiply-accumulates removed", title=self.task)
        axes.set_ylabel(fill(self.metric_name, 40))
        axes.set_ylim(min(0.0, axes.get_ylim()[0]) if self._low(cells) < 0 else 0, 1.02)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)

    def _means(self) -> dict[tuple[Method, str], Cell]:
        """Return mean metric, share of MACs removed and deviation, by method and target."""
        found = defaultdict(list)
        for row in self.rows.values():
            if row.metric is not None and row.macs_removed is not None:
                found[row.method, row.target].append((row.metric, row.macs_removed))
        return {
            key: (
                float(np.mean([metric for metric, _ in values])),
                float(np.mean([macs for _, macs in values])),
                float(np.std([metric for metric, _ in values], ddof=1)) if values[1:] else 0.0,
            )
            for key, values in found.items()
        }

    @staticmethod
    def _height(cells: dict[tuple[Method, str], Cell], method: Method) -> float:
        """Return how far a method is above the mean of all methods, over its own targets."""
        above = [
            cell[0] - np.mean([c[0] for (_, other), c in cells.items() if other == target])
            for (own, target), cell in cells.items()
            if own == method
        ]
        return float(np.mean(above))

    @staticmethod
    def _low(cells: dict[tuple[Method, str], Cell]) -> float:
        return min((cell[0] for cell in cells.values()), default=0.0)

    def _failed(self) -> list[Row]:
        return [row for row in self.rows.values() if row.metric is None]


def _target_order(target: str) -> tuple[str, float]:
    name, _, amount = target.partition("=")
    return name, float(amount)


def _cell(cell: Cell | None, best: float) -> str:
    if cell is None:
        return "-"
    metric, macs, deviation = cell
    text = f"**{metric:.3f}**" if metric == best else f"{metric:.3f}"
    return f"{text}{f' ± {deviation:.3f}' if deviation else ''} ({macs:.2f})"
