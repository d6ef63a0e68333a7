"""Measure what pruning costs in accuracy: every criterion, recovery and allocation on one task.

Every model that is written is run by ONNX Runtime on the task's test, which no calibration sample
is part of. Rows are added to those of earlier runs on the same model; results are written after
every row, so a run that ends early has lost nothing.

Usage, from the root of the repository::

    python benchmarks/accuracy/run.py TASK --models DIR [--cache DIR] [--out DIR]
        [--criteria NAME,...] [--recoveries NAME,...] [--allocations NAME,...]
        [--targets remove_macs=0.3,ratio=0.5,...] [--samples N] [--draws N] [--peers DIR]
        [--unpruned]
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

# ONNX Runtime's sessions have one thread; so has the linear algebra, unless told otherwise.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import onnxruntime as ort
from results import Results, Row
from tasks import TASKS, load_task

import onnxprune
from onnxprune.allocation import ALLOCATIONS
from onnxprune.criteria import CRITERIA
from onnxprune.errors import OnnxPruneError
from onnxprune.recovery import RECOVERIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tasks.base import Task

OUT = Path(__file__).parents[1] / "results" / "accuracy"
RANDOM_SEEDS = 3
NONE = "none"


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What is tried."""

    criteria: Sequence[str]
    recoveries: Sequence[str]
    allocations: Sequence[str]
    targets: Sequence[str]
    draws: int

    def __iter__(self) -> Iterator[Row]:
        """Yield a row to be filled for every combination that says something new.

        A ratio is the share of every group already, so no allocation but the uniform one takes
        part; criteria by chance are controls, run with several seeds and without a repair.
        """
        for target in self.targets:
            for allocation in self.allocations:
                if target.startswith("ratio") and allocation != "uniform":
                    continue
                for criterion in self.criteria:
                    chance = criterion == "random"
                    for recovery in [NONE] if chance else self.recoveries:
                        for seed in range(RANDOM_SEEDS if chance else self.draws):
                            yield Row(
                                criterion=criterion,
                                recovery=recovery,
                                allocation=allocation,
                                target=target,
                                seed=seed,
                            )


def measure(task: Task, row: Row, *, calibration: Path, samples: int) -> Row:
    """Prune as a row asks for, and fill in what came of it."""
    name, _, amount = row.target.partition("=")
    options: dict[str, Any] = {
        **task.options,
        name: float(amount),
        "criterion": row.criterion,
        "allocation": row.allocation,
        "seed": row.seed,
    }
    methods = CRITERIA[row.criterion], ALLOCATIONS[row.allocation]
    if row.recovery != NONE or any(method.samples for method in methods):
        options |= {"recovery": row.recovery, "calibration": calibration, "samples": samples}
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "pruned.onnx"
        start = time.perf_counter()
        try:
            report = onnxprune.prune(task.model_path, output, verify=False, **options)
        except OnnxPruneError as error:
            return _filled(row, error=f"{type(error).__name__}: {error}")
        seconds = {k: round(v, 2) for k, v in report.seconds.items()}
        return _filled(
            row,
            metric=round(task.evaluate(output), 6),
            macs_removed=round(report.achieved.macs, 6),
            params_removed=round(report.achieved.params, 6),
            seconds=seconds | {"total": round(time.perf_counter() - start, 2)},
        )


def measure_peer(task: Task, path: Path) -> Row:
    """Measure a model of another tool, named TASK.TOOL.CRITERION.ALLOCATION.TARGET.onnx."""
    tool, criterion, allocation, target = path.stem[len(task.name) + 1 :].split(".", 3)
    before, after = (onnxprune.analyze(p).cost() for p in (task.model_path, path))
    return Row(
        tool=tool,
        criterion=criterion,
        recovery=NONE,
        allocation=allocation,
        target=target,
        metric=round(task.evaluate(path), 6),
        macs_removed=round(1 - after.macs / before.macs, 6),
        params_removed=round(1 - after.params / before.params, 6),
    )


def save_calibration(task: Task, folder: Path, *, samples: int, seed: int = 0) -> None:
    """Write the samples as a user would have them: one file each."""
    for number, feed in enumerate(task.calibration(samples, seed)):
        np.savez(folder / f"{number:04}.npz", **feed)


def _filled(row: Row, **values: Any) -> Row:  # noqa: ANN401  (the fields of a row)
    return Row(**(vars(row) | values))


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", choices=sorted(TASKS))
    parser.add_argument("--models", type=Path, required=True, help="models and data of zoo.py")
    parser.add_argument("--cache", type=Path, help="where unpacked data is kept")
    parser.add_argument("--out", type=Path, default=OUT, help="default: %(default)s")
    parser.add_argument("--criteria", type=_names, help=f"of {', '.join(sorted(CRITERIA))}")
    parser.add_argument("--recoveries", type=_names, help=f"of {', '.join(sorted(RECOVERIES))}")
    parser.add_argument("--allocations", type=_names, help=f"of {', '.join(sorted(ALLOCATIONS))}")
    parser.add_argument("--targets", type=_names, help="such as remove_macs=0.3,ratio=0.5")
    parser.add_argument("--samples", type=int, default=128, help="default: %(default)s")
    parser.add_argument("--draws", type=int, default=1, help="draws of samples, 1 by default")
    parser.add_argument("--peers", type=Path, help="models that peer_torch_pruning.py wrote")
    parser.add_argument("--unpruned", action="store_true", help="measure the original and stop")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one task; 0 when every combination has a result."""
    args = _parser().parse_args(argv)
    task = load_task(args.task, args.models, cache=args.cache)
    unpruned = task.evaluate(task.model_path)
    print(f"{task.name}: {task.metric_name} {unpruned:.4f} unpruned", flush=True)
    if args.unpruned:
        return 0
    results = Results(
        task=task.name,
        metric_name=task.metric_name,
        model=task.model_file,
        model_sha256=hashlib.sha256(task.model_path.read_bytes()).hexdigest(),
        unpruned=round(unpruned, 6),
        samples=args.samples,
        environment={
            "onnxprune": onnxprune.__version__,
            "onnxruntime": ort.__version__,
            "Python": platform.python_version(),
            "machine": platform.machine(),
        },
        command=f"python benchmarks/accuracy/run.py {task.name} --samples {args.samples}",
    )
    results.take_over(args.out / f"{task.name}.json")
    sweep = Sweep(
        criteria=args.criteria or sorted(c.name for c in CRITERIA.values() if not c.argument),
        recoveries=args.recoveries or sorted(RECOVERIES),
        allocations=args.allocations or sorted(ALLOCATIONS),
        targets=args.targets or task.targets,
        draws=args.draws,
    )
    with tempfile.TemporaryDirectory() as folder:
        rows = list(sweep) if args.peers is None else []
        peers = sorted(args.peers.glob(f"{task.name}.*.onnx")) if args.peers else []
        for row in rows:
            drawn = Path(folder, str(row.seed))
            if not drawn.exists():
                drawn.mkdir()
                save_calibration(task, drawn, samples=args.samples, seed=row.seed)
            _keep(results, measure(task, row, calibration=drawn, samples=args.samples), args)
        for path in peers:
            _keep(results, measure_peer(task, path), args)
    return int(any(row.metric is None for row in results.rows.values()))


def _keep(results: Results, row: Row, args: argparse.Namespace) -> None:
    results.add(row)
    results.write(args.out)
    seen = f"{row.metric:.4f}, MACs -{row.macs_removed:.3f}" if row.error is None else row.error
    print(f"{' '.join(row.method)} {row.target} seed {row.seed}: {seen}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
