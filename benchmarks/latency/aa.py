"""Does the benchmark tell the truth? Identical models, and one of half the width, under load.

Networks of three sizes (0.2, 3 and 60 ms on one thread) are compared with themselves and with a
network of half their width, many times each, while a busy loop runs beside. Identical models have
a ratio of 1: the 95 % interval should miss it in one of twenty trials, and none may come out as
faster. The narrower network must come out as faster every time.

Usage::

    python benchmarks/latency/aa.py [--quick] [--sizes small,medium,large] [--trials 40] -o FILE

Results are written after every trial; trials that FILE already holds are kept and not repeated.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from onnxprune.bench.environment import describe_machine, load_average
from onnxprune.bench.interval import RatioInterval
from onnxprune.bench.pair import CANDIDATE, compare_pair, self_test, time_pair
from onnxprune.bench.protocol import Protocol
from onnxprune.bench.timing import log_ratios
from onnxprune.providers.spec import parse_spec
from onnxprune.runtime.feeds import FeedRecipe
from onnxprune.runtime.inputs import InputSpec
from onnxprune.runtime.isolate import run_isolated
from onnxprune.runtime.session import open_session

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from onnxprune.bench.timing import Timing

# Name: milliseconds, channels, height and width.
SIZES = {"small": (0.2, 32, 16), "medium": (3.0, 64, 28), "large": (60.0, 128, 56)}
TRIALS, QUICK_TRIALS = 40, 3
TIMEOUT_S = 300.0
BUSY = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: pass"


def build(path: Path, *, width: int, extent: int, depth: int) -> None:
    """Write a chain of 3 x 3 convolutions with activations."""
    generator = np.random.default_rng(0)
    nodes, weights = [], []
    channels = 3
    value = "x"
    for number in range(depth):
        shape = (width, channels, 3, 3)
        weight = generator.standard_normal(shape).astype(np.float32) / np.sqrt(9 * channels)
        weights.append(numpy_helper.from_array(weight.astype(np.float32), f"w{number}"))
        nodes.append(
            helper.make_node(
                "Conv", [value, f"w{number}"], [f"c{number}"], f"conv{number}", pads=[1, 1, 1, 1]
            )
        )
        nodes.append(helper.make_node("Relu", [f"c{number}"], [f"r{number}"], f"relu{number}"))
        value, channels = f"r{number}", width
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, extent, extent])],
        [helper.make_tensor_value_info(value, TensorProto.FLOAT, [1, width, extent, extent])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)


def best_run_ms(path: Path, recipe: FeedRecipe) -> float:
    """Return what the fastest of some runs takes."""
    session = open_session(path, optimize=True)
    feed = recipe.make()
    times = []
    for _ in range(15):
        start = time.perf_counter()
        session.run(None, feed)
        times.append((time.perf_counter() - start) * 1e3)
    return min(times)


def prepare(folder: Path, size: str) -> tuple[Path, Path, Path, FeedRecipe, dict[str, float]]:
    """Write a network of about the wanted time, a copy of it, and one of half its width."""
    target_ms, width, extent = SIZES[size]
    spec = InputSpec("x", np.dtype(np.float32), (1, 3, extent, extent))
    recipe = FeedRecipe((spec,), {})
    full, same, half = (folder / f"{size}-{kind}.onnx" for kind in ("full", "same", "half"))
    build(full, width=width, extent=extent, depth=2)
    shallow = best_run_ms(full, recipe)
    build(full, width=width, extent=extent, depth=5)
    layer_ms = (best_run_ms(full, recipe) - shallow) / 3
    depth = max(2, 2 + round((target_ms - shallow) / layer_ms))
    build(full, width=width, extent=extent, depth=depth)
    same.write_bytes(full.read_bytes())
    build(half, width=width // 2, extent=extent, depth=depth)
    facts = {
        "wanted_ms": target_ms,
        "full_ms": round(best_run_ms(full, recipe), 3),
        "half_ms": round(best_run_ms(half, recipe), 3),
        "depth": depth,
    }
    return full, same, half, recipe, facts


def trial(
    baseline: Path, candidate: Path, recipe: FeedRecipe, protocol: Protocol
) -> dict[str, Any]:
    """Compare two models as `onnxprune bench` does."""

    def call(attempt: Protocol, models: Sequence[str]) -> Timing:
        kwargs = {"models": list(models), "spec": parse_spec("cpu"), "recipe": recipe}
        timing: Timing = run_isolated(
            "onnxprune.bench.timing:time_models", {**kwargs, "protocol": attempt},
            timeout_s=TIMEOUT_S, memory_limit_bytes=None,
        )  # fmt: skip
        return timing

    start = time.monotonic()
    timing = time_pair(str(baseline), str(candidate), protocol=protocol, call=call)
    found, verdict, reason = compare_pair(timing, least=protocol.rebuilds)
    test = self_test(timing)
    return {
        "log_ratios": [round(v, 5) for v in log_ratios(timing, CANDIDATE, [0, 1])],
        "ratio": round(found.ratio, 5), "ci95": [round(found.low, 5), round(found.high, 5)],
        "verdict": verdict, "reason": reason, "clock": timing.clock, "stopped": timing.stopped,
        "rebuilds": len(timing.builds), "pairs": timing.pairs, "runs": timing.runs,
        "self_test": {"ratio": round(test.ratio, 5), "ci99": [round(v, 5) for v in test.ci99],
                      "passed": test.passed, "attempts": test.attempts},
        "seconds": round(time.monotonic() - start, 2), "load_average": load_average(),
    }  # fmt: skip


def summary(trials: Sequence[dict[str, Any]], *, truth: float | None) -> dict[str, Any]:
    """Count what came out."""
    intervals = [RatioInterval(t["ratio"], *t["ci95"]) for t in trials]
    verdicts = [t["verdict"] for t in trials]
    counted: dict[str, Any] = {
        "trials": len(trials),
        **{name: verdicts.count(name) for name in ("faster", "not_faster", "inconclusive")},
        "median_ratio": round(median(i.ratio for i in intervals), 4),
        "median_half_width": round(median(i.half_width for i in intervals), 4),
        "largest_half_width": round(max(i.half_width for i in intervals), 4),
        "median_seconds": round(median(t["seconds"] for t in trials), 1),
        "longest_seconds": max(t["seconds"] for t in trials),
        "self_tests_failed_once": sum(t["self_test"]["attempts"] > 1 for t in trials),
        "self_tests_failed": sum(not t["self_test"]["passed"] for t in trials),
    }
    if truth is not None:
        counted["intervals_that_miss"] = sum(not i.contains(truth) for i in intervals)
    return counted


@contextmanager
def busy_loop() -> Iterator[None]:
    """Keep a core busy."""
    process = subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def run(arguments: argparse.Namespace) -> None:
    """Do the trials that are missing."""
    output = Path(arguments.output)
    results: dict[str, Any] = json.loads(output.read_text()) if output.exists() else {}
    results.setdefault("machine", describe_machine().model_dump())
    results["note"] = arguments.note
    sizes = results.setdefault("sizes", {})
    protocol = Protocol(time_budget_s=arguments.time_budget)
    with tempfile.TemporaryDirectory() as folder:
        subjects = {size: prepare(Path(folder), size) for size in arguments.sizes.split(",")}
        with busy_loop():
            for number in range(arguments.trials):
                for size, (full, same, half, recipe, facts) in subjects.items():
                    entry = sizes.setdefault(size, {"model": facts, "identical": [], "half": []})
                    for kind, candidate, most in (
                        ("identical", same, arguments.trials),
                        ("half", half, arguments.half_trials),
                    ):
                        if not len(entry[kind]) <= number < most:
                            continue
                        seeded = replace(protocol, seed=1000 * number)
                        entry[kind].append(trial(full, candidate, recipe, seeded))
                        entry["summary"] = {
                            "identical": summary(entry["identical"], truth=1.0),
                            **(
                                {"half": summary(entry["half"], truth=None)}
                                if entry["half"]
                                else {}
                            ),
                        }
                        _save(output, results)
                        print(number, size, kind, entry[kind][-1], flush=True)
    for size, entry in sizes.items():
        print(size, json.dumps(entry["summary"], indent=1))


def _save(path: Path, results: dict[str, Any]) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(results, indent=1) + "\n")
    partial.replace(path)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_TRIALS} trials per size")
    parser.add_argument("--sizes", default=",".join(SIZES))
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--half-trials", type=int, help="as many as --trials by default")
    parser.add_argument("--time-budget", type=float, default=30.0, help="seconds per comparison")
    parser.add_argument("--note", default="a busy loop beside it")
    parser.add_argument("-o", "--output", required=True)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.trials = QUICK_TRIALS
    arguments.half_trials = (
        arguments.trials if arguments.half_trials is None else arguments.half_trials
    )
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    run(arguments)


if __name__ == "__main__":
    main()
