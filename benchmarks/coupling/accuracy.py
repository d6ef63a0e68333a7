"""What letting consumers choose for themselves keeps of a network's accuracy.

Runs the tasks of `benchmarks/accuracy` with every coupling, with samples and the default recovery,
adds the rows to those of earlier runs, and writes them as JSON, as a table and as a plot.

Usage, from the root of the repository::

    python benchmarks/coupling/accuracy.py TASK --models DIR [--cache DIR] [--out DIR]
        [--couplings NAME,...] [--targets ratio=0.3,remove_macs=0.5,...] [--draws 0,1,2]
        [--samples N]

A draw is the seed that samples are drawn with; all draws are tested on the same data.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "accuracy"))

import matplotlib as mpl
import numpy as np
import onnxruntime as ort
from run import save_calibration
from tasks import TASKS, load_task

import onnxprune
from onnxprune.analysis.expansion import couple
from onnxprune.core.plan import PrunePlan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.base import Task

OUT = Path(__file__).parents[1] / "results" / "coupling"
COUPLINGS = "constrained,unconstrained"
TARGETS = "ratio=0.2,ratio=0.3,ratio=0.4,ratio=0.5,remove_macs=0.3,remove_macs=0.5,remove_macs=0.7"
COLORS = {"constrained": "tab:blue", "unconstrained": "tab:orange", "auto": "tab:green"}

Row = dict[str, Any]


def measure(task: Task, calibration: Path, samples: int, coupling: str, target: str) -> Row:
    """Prune once and run the task's test."""
    name, _, amount = target.partition("=")
    with tempfile.TemporaryDirectory() as folder:
        output, plan = Path(folder) / "pruned.onnx", Path(folder) / "plan.json"
        options: Any = {**task.options, name: float(amount), "coupling": coupling}
        report = onnxprune.prune(
            task.model_path, output, calibration=calibration, samples=samples, plan_out=plan,
            **options,
        )  # fmt: skip
        assert report.verified is not None
        copies = report.copies
        return {
            "coupling": coupling,
            "target": target,
            "metric": round(float(task.evaluate(output)), 4),
            "macs_unread": round(macs_unread(task.model_path, plan), 4),
            "macs_removed": round(report.achieved.macs, 4),
            "params_removed": round(report.achieved.params, 4),
            "copies": 0 if copies is None else copies.slices + copies.gathers,
            "bytes_copied": 0 if copies is None else copies.bytes,
            "exact": report.verified.exact,
        }


def macs_unread(model: Path, path: Path) -> float:
    """Return the share of the multiply-accumulates that a plan takes from consumers."""
    plan = PrunePlan.model_validate_json(path.read_text())
    analysis = couple(onnxprune.analyze(model), plan.coupling, plan.forks)
    return 1 - analysis.cost(analysis.removed_labels(plan)).macs / analysis.cost().macs


def means(rows: Sequence[Row]) -> dict[tuple[str, str], Row]:
    """Return the mean over draws of each target and coupling, with the range of the metric."""
    found: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        found[row["target"], row["coupling"]].append(row)
    result = {}
    for key, drawn in sorted(found.items()):
        numbers = [k for k, v in drawn[0].items() if isinstance(v, int | float) and k != "exact"]
        mean: Row = {k: float(np.mean([r[k] for r in drawn])) for k in numbers}
        metrics = [r["metric"] for r in drawn]
        result[key] = mean | {"low": min(metrics), "high": max(metrics), "count": len(drawn)}
    return result


def table(document: dict[str, Any], plot: str) -> str:
    """Return the results of a task as Markdown."""
    lines = [
        f"# {document['task']}: {document['metric']}, {document['unpruned']:.4f} unpruned",
        "",
        (
            f"{document['samples']} unlabelled samples, one eighth of them held back; means over "
            "draws of the samples, in brackets least and greatest. *MACs unread* is what consumers "
            "drop; where a copy would take longer than computing, some of it stays in the file."
        ),
        "",
        f"![{document['metric']} against MACs removed]({plot})",
        "",
        (
            "| target | coupling | metric | draws | MACs unread | MACs removed | "
            "parameters removed | copies | MB copied |"
        ),
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for (target, coupling), row in means(document["rows"]).items():
        spread = f" ({row['low']:.4f} to {row['high']:.4f})" if row["count"] > 1 else ""
        lines.append(
            f"| {target} | {coupling} | {row['metric']:.4f}{spread} | {row['count']} | "
            f"{row['macs_unread']:.3f} | {row['macs_removed']:.3f} | "
            f"{row['params_removed']:.3f} | {row['copies']:.0f} | "
            f"{row['bytes_copied'] / 1e6:.2f} |"
        )
    return "\n".join(lines) + "\n"


def plot(document: dict[str, Any], path: Path) -> None:
    """Draw the metric against the multiply-accumulates removed, a line for each kind of target."""
    mpl.use("svg")
    from matplotlib import pyplot as plt  # noqa: PLC0415  (after the choice of the back end)

    mpl.rcParams["svg.hashsalt"] = document["task"]
    found = means(document["rows"])
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    for kind, style, label in (
        ("remove_macs", "-", "shared out by error"), ("ratio", "--", "the same share everywhere"),
    ):  # fmt: skip
        for coupling in sorted({c for _, c in found}):
            rows = [r for (t, c), r in found.items() if c == coupling and t.startswith(kind)]
            if not rows:
                continue
            rows.sort(key=lambda r: r["macs_unread"])
            x, y = ([r[k] for r in rows] for k in ("macs_unread", "metric"))
            color, name = COLORS[coupling], f"{coupling}, {label}"
            axes.plot(
                [0, *x], [document["unpruned"], *y], style, color=color, marker=".", label=name
            )
            axes.vlines(x, [r["low"] for r in rows], [r["high"] for r in rows], color=color)
    axes.set(
        xlabel="multiply-accumulates that no consumer reads", ylabel=document["metric"],
        title=document["task"],
    )  # fmt: skip
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one task; 0 when every file was exact."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", choices=sorted(TASKS))
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--out", type=Path, default=OUT, help="default: %(default)s")
    parser.add_argument("--couplings", default=COUPLINGS, help="default: %(default)s")
    parser.add_argument("--targets", default=TARGETS, help="default: %(default)s")
    parser.add_argument("--draws", default="0", help="default: %(default)s")
    parser.add_argument("--samples", type=int, default=128, help="default: %(default)s")
    args = parser.parse_args(argv)
    task = load_task(args.task, args.models, cache=args.cache)
    path = args.out / f"{args.task}.json"
    rows: dict[tuple[str, str, int], Row] = {}
    if path.exists():
        kept = json.loads(path.read_text())["rows"]
        rows = {(r["target"], r["coupling"], r["draw"]): r for r in kept}
    document = {
        "task": args.task, "metric": task.metric_name,
        "unpruned": round(float(task.evaluate(task.model_path)), 4), "samples": args.samples,
        "environment": {"onnxprune": onnxprune.__version__, "onnxruntime": ort.__version__},
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    for draw in (int(d) for d in args.draws.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            save_calibration(task, Path(folder), samples=args.samples, seed=draw)
            for target in args.targets.split(","):
                for coupling in args.couplings.split(","):
                    row = measure(task, Path(folder), args.samples, coupling, target)
                    rows[target, coupling, draw] = {"draw": draw} | row
                    print(rows[target, coupling, draw], flush=True)
                    document["rows"] = [rows[key] for key in sorted(rows)]
                    path.write_text(json.dumps(document, indent=1) + "\n")
    path.with_suffix(".md").write_text(table(document, f"{args.task}.svg"))
    plot(document, path.with_suffix(".svg"))
    return int(not all(row["exact"] for row in rows.values()))


if __name__ == "__main__":
    sys.exit(main())
