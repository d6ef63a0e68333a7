"""Does the gate decide rightly on a busy machine? Identical models, and one that is 15 % slower.

A chain of 20 equal convolutions is checked against a copy of itself, and against a chain of 23,
with `max-latency-ratio = 1.05`, while a busy loop runs beside. The copy may pass or stay
inconclusive, and must never fail; the slower one may fail or stay inconclusive, and must never
pass.

Usage::

    python benchmarks/gate/load.py [--trials 40] [--time-budget 10] [--lock FILE] -o FILE

Results are written after every trial; trials that FILE already holds are kept and not repeated.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from onnxprune.bench.environment import describe_machine
from onnxprune.gate.run import check

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 1.05
LOOPS = 1
DEPTHS = {"baseline": 20, "same": 20, "slower": 23}
SIZES = {"small": (32, 14), "medium": (64, 28)}  # channels, height and width
BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"
WRONG = {"same": "fail", "slower": "pass"}


def build(path: Path, *, depth: int, width: int, extent: int) -> None:
    """Write a chain of equal 3 x 3 convolutions with activations."""
    generator = np.random.default_rng(0)
    nodes, weights, value = [], [], "x"
    for number in range(depth):
        weight = generator.standard_normal((width, width, 3, 3)) / np.sqrt(9 * width)
        weights.append(numpy_helper.from_array(weight.astype(np.float32), f"w{number}"))
        conv = helper.make_node(
            "Conv", [value, f"w{number}"], [f"c{number}"], f"conv{number}", pads=[1, 1, 1, 1]
        )
        relu = helper.make_node("Relu", [f"c{number}"], [f"r{number}"], f"relu{number}")
        nodes += [conv, relu]
        value = f"r{number}"
    shape = [1, width, extent, extent]
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(value, TensorProto.FLOAT, shape)],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)


@contextlib.contextmanager
def load() -> Iterator[None]:
    """Run a busy loop beside."""
    loops = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(LOOPS)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


@contextlib.contextmanager
def alone(lock: Path | None) -> Iterator[None]:
    """Wait for others that use the same lock file."""
    if lock is None:
        yield
        return
    with lock.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def trial(folder: Path, size: str, kind: str, seed: int, budget: float) -> dict[str, Any]:
    """Check one model once."""
    report = check(
        folder / f"{size}-{kind}.onnx", baseline=folder / f"{size}-baseline.onnx",
        max_latency_ratio=LIMIT, time_budget=budget, retries=1, seed=seed,
    )  # fmt: skip
    [entry] = report.checks
    return {
        "size": size, "kind": kind, "seed": seed, "outcome": entry.outcome, "status": report.status,
        "ratio": entry.value, "ci95": entry.ci95, "seconds": report.seconds,
        "message": entry.message, "load": report.bench[0].environment.load_average_after,
    }  # fmt: skip


def summary(trials: list[dict[str, Any]]) -> dict[str, Any]:
    """Count outcomes, and the wrong ones."""
    counts = {
        kind: dict(Counter(t["outcome"] for t in trials if t["kind"] == kind)) for kind in WRONG
    }
    wrong = sum(counts[kind].get(outcome, 0) for kind, outcome in WRONG.items())
    return {"limit": LIMIT, "outcomes": counts, "wrong": wrong}


def main() -> int:
    """Run the trials that are missing."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--time-budget", type=float, default=10.0)
    parser.add_argument("--lock", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    trials: list[dict[str, Any]] = []
    if options.output.exists():
        trials = json.loads(options.output.read_text(encoding="utf-8"))["trials"]
    done = {(t["kind"], t["seed"]) for t in trials}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size, (width, extent) in SIZES.items():
            for kind, depth in DEPTHS.items():
                path = folder / f"{size}-{kind}.onnx"
                build(path, depth=depth, width=width, extent=extent)
        for seed in range(options.trials):
            for kind in WRONG:
                if (kind, seed) in done:
                    continue
                size = list(SIZES)[seed % len(SIZES)]
                with alone(options.lock), load():
                    trials.append(trial(folder, size, kind, seed, options.time_budget))
                result = {
                    "format": "onnxprune.gate-load/1", "machine": describe_machine().model_dump(),
                    "summary": summary(trials), "trials": trials,
                }  # fmt: skip
                options.output.parent.mkdir(parents=True, exist_ok=True)
                options.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
                print(seed, size, kind, trials[-1]["message"], trials[-1]["outcome"], flush=True)
    print(json.dumps(summary(trials)))
    return int(summary(trials)["wrong"] > 0)


if __name__ == "__main__":
    sys.exit(main())
