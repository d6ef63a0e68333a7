"""What letting consumers choose for themselves keeps of a network's accuracy.

Runs the tasks of `benchmarks/accuracy` with every coupling, with samples and the default recovery,
and adds the rows to those of earlier runs.

Usage, from the root of the repository::

    python benchmarks/coupling/accuracy.py TASK --models DIR [--cache DIR] [--out DIR]
        [--couplings NAME,...] [--targets ratio=0.3,remove_macs=0.5,...] [--samples N]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1] / "accuracy"))

import onnxruntime as ort
from run import save_calibration
from tasks import TASKS, load_task

import onnxprune

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.base import Task

OUT = Path(__file__).parents[1] / "results" / "coupling"
COUPLINGS = "constrained,unconstrained,auto"
TARGETS = "ratio=0.3,ratio=0.5,remove_macs=0.5,remove_macs=0.7"


def measure(
    task: Task, calibration: Path, samples: int, coupling: str, target: str
) -> dict[str, Any]:
    """Prune once and run the task's test."""
    name, _, amount = target.partition("=")
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "pruned.onnx"
        options: Any = {**task.options, name: float(amount), "coupling": coupling}
        report = onnxprune.prune(
            task.model_path, output, calibration=calibration, samples=samples, **options
        )
        assert report.verified is not None
        copies = report.copies
        return {
            "coupling": coupling,
            "target": target,
            "metric": round(float(task.evaluate(output)), 4),
            "macs_removed": round(report.achieved.macs, 4),
            "params_removed": round(report.achieved.params, 4),
            "copies": 0 if copies is None else copies.slices + copies.gathers,
            "bytes_copied": 0 if copies is None else copies.bytes,
            "exact": report.verified.exact,
        }


def table(document: dict[str, Any]) -> str:
    """Return the results of a task as Markdown."""
    lines = [
        f"# {document['task']}: {document['metric']}, {document['unpruned']:.4f} unpruned",
        "",
        "| target | coupling | metric | MACs removed | parameters removed | copies | MB copied |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['target']} | {row['coupling']} | {row['metric']:.4f} | "
        f"{row['macs_removed']:.3f} | {row['params_removed']:.3f} | {row['copies']} | "
        f"{row['bytes_copied'] / 1e6:.2f} |"
        for row in document["rows"]
    ]
    return "\n".join(lines) + "\n"


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
    parser.add_argument("--samples", type=int, default=128, help="default: %(default)s")
    args = parser.parse_args(argv)
    task = load_task(args.task, args.models, cache=args.cache)
    path = args.out / f"{args.task}.json"
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    if path.exists():
        rows = {(r["target"], r["coupling"]): r for r in json.loads(path.read_text())["rows"]}
    document = {
        "task": args.task, "metric": task.metric_name,
        "unpruned": round(float(task.evaluate(task.model_path)), 4), "samples": args.samples,
        "environment": {"onnxprune": onnxprune.__version__, "onnxruntime": ort.__version__},
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        save_calibration(task, Path(folder), samples=args.samples)
        for target in args.targets.split(","):
            for coupling in args.couplings.split(","):
                row = measure(task, Path(folder), args.samples, coupling, target)
                rows[target, coupling] = row
                print(row, flush=True)
                document["rows"] = [rows[key] for key in sorted(rows)]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(document, indent=1) + "\n")
                path.with_suffix(".md").write_text(table(document))
    return int(not all(row["exact"] for row in rows.values()))


if __name__ == "__main__":
    sys.exit(main())
