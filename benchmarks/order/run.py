"""Channel orders: how often they are optimal, what they save over the baseline, how long they take.

Small streams are compared with exhaustion (`oracle.py`), wide ones (`streams.py`) with the baseline
heuristic only, which must not be better. Nothing here depends on a model; times are of one thread.

Usage::

    python benchmarks/order/run.py [--instances N] [--repeat N] [-o DIR]

Writes ``order.json`` and ``order.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy is imported
os.environ["OPENBLAS_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
from oracle import least_bytes, random_instance
from streams import KINDS

from onnxprune.core.order import best_order, consecutive_order, evaluate_order, upscale_order

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Row = dict[str, Any]
ROOT = Path(__file__).parents[2]
BATCH = 2000
SIZES = ((2048, 16), (2048, 60), (512, 16))


def exhaustive(count: int, *, channels: int, consumers: int) -> Row:
    """Compare the orders of small random streams with the best that there are."""
    found: dict[str, list[tuple[float, float]]] = {}
    missed_consecutive = wrongly_consecutive = free = unproven = 0
    seconds = 0.0
    for seed in range(0, count, BATCH):
        generator = np.random.default_rng(seed)
        instances = [
            random_instance(generator, channels=channels, consumers=consumers)
            for _ in range(min(BATCH, count - seed))
        ]
        for instance, least in zip(instances, least_bytes(instances), strict=True):
            n, sets, weights = instance.n, instance.sets, instance.weights
            start = perf_counter()
            best = best_order(n, sets, weights)
            seconds += perf_counter() - start
            order = consecutive_order(n, sets)
            copies = order is not None and evaluate_order(order, sets, weights).bytes_copied
            free += least == 0
            missed_consecutive += order is None and least == 0
            wrongly_consecutive += order is not None and (least > 0 or copies > 0)
            unproven += not best.exact
            orders = {
                "best_order": best.order,
                "best_order, greedy only": best_order(n, sets, weights, effort=0).order,
                "upscale_order": upscale_order(n, sets),
                "natural order": range(n),
            }
            for name, order in orders.items():
                copied = evaluate_order(order, sets, weights).bytes_copied
                found.setdefault(name, []).append((copied, least))
    baseline = found["upscale_order"]
    return {
        "instances": count,
        "channels_up_to": channels,
        "consumers_up_to": consumers,
        "copy_free": free,
        "consecutive_order_missed": missed_consecutive,
        "consecutive_order_wrong": wrongly_consecutive,
        "best_order_unproven": unproven,
        "best_order_mean_ms": 1e3 * seconds / count,
        "orders": [
            {
                "order": name,
                "optimal": sum(copied == least for copied, least in pairs),
                "copy_free_missed": sum(copied > 0 and least == 0 for copied, least in pairs),
                "worse_than_upscale": sum(
                    own[0] > other[0] for own, other in zip(pairs, baseline, strict=True)
                ),
                "bytes": sum(copied for copied, _ in pairs),
            }
            for name, pairs in found.items()
        ],
        "least_bytes": sum(least for _, least in baseline),
    }


def wide(n: int, consumers: int, kind: Callable[..., Any], repeat: int) -> Row:
    """Time the orders of wide streams and add up what they copy."""
    row: Row = {"channels": n, "consumers": consumers, "stream": kind.__name__}
    times: dict[str, list[float]] = {"consecutive": [], "best": [], "upscale": []}
    copied = dict.fromkeys(("best", "upscale", "natural"), 0.0)
    exact = torn = worse = 0
    for seed in range(repeat):
        generator = np.random.default_rng(seed)
        sets, blocks = kind(generator, n, consumers)
        weights = (4 * generator.choice([49, 196, 784], consumers)).tolist()
        start = perf_counter()
        free = consecutive_order(n, sets, blocks=blocks)
        times["consecutive"].append(perf_counter() - start)
        start = perf_counter()
        best = best_order(n, sets, weights, blocks=blocks)
        times["best"].append(perf_counter() - start)
        start = perf_counter()
        upscale = upscale_order(n, sets)
        times["upscale"].append(perf_counter() - start)
        assert (free is not None) == (best.bytes_copied == 0)
        baseline = evaluate_order(upscale, sets, weights).bytes_copied
        together = max(evaluate_order(upscale, blocks, [1] * len(blocks)).runs, default=1) == 1
        torn += not together
        worse += together and best.bytes_copied > baseline
        exact += best.exact
        copied["best"] += best.bytes_copied
        copied["upscale"] += baseline
        copied["natural"] += evaluate_order(range(n), sets, weights).bytes_copied
    row |= {f"{name}_max_s": round(max(values), 4) for name, values in times.items()}
    row |= {f"{name}_mib": round(value / repeat / 2**20, 3) for name, value in copied.items()}
    row |= {"streams": repeat, "proven": exact}
    return row | {"worse_than_upscale": worse, "upscale_tears_blocks": torn}


def markdown(results: Row) -> str:
    """Return the results as tables."""
    small = results["exhaustive"]
    machine = ", ".join(f"{k} {v}" for k, v in results["machine"].items())
    exhausted = (
        f"{small['instances']} random streams of up to {small['channels_up_to']} channels and "
        f"{small['consumers_up_to']} consumers against exhaustion; {small['copy_free']} of them "
        "have an order without copies. "
        f"`consecutive_order` missed {small['consecutive_order_missed']} of these and gave a wrong "
        f"answer to {small['consecutive_order_wrong']}; `best_order` took "
        f"{small['best_order_mean_ms']:.2f} ms on average and left {small['best_order_unproven']} "
        "unproven."
    )
    explained = (
        "Wide streams; copies in MiB on average, the longest time of several streams. `*`: UPSCALE "
        "knows no blocks and tore some apart, so its figure is not for a usable order."
    )
    columns = (
        "channels x consumers", "stream", "natural", "UPSCALE", "best", "proven",
        "worse than UPSCALE", "consecutive s", "best s", "UPSCALE s",
    )  # fmt: skip
    lines = [
        "# Channel orders",
        "",
        f"`{results['command']}` ({machine})",
        "",
        exhausted,
        "",
        "| order | optimal | copy-free orders missed | worse than UPSCALE | bytes copied / least |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['order']} | {row['optimal'] / small['instances']:.2%} "
        f"| {row['copy_free_missed']} ({row['copy_free_missed'] / small['copy_free']:.1%}) "
        f"| {row['worse_than_upscale']} | {row['bytes'] / small['least_bytes']:.3f} |"
        for row in small["orders"]
    ]
    lines += ["", explained, "", f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for row in results["wide"]:
        star = "*" if row["upscale_tears_blocks"] else ""
        lines.append(
            f"| {row['channels']} x {row['consumers']} | {row['stream'].replace('_', ' ')} "
            f"| {row['natural_mib']:.2f} | {row['upscale_mib']:.2f}{star} | {row['best_mib']:.2f} "
            f"| {row['proven']}/{row['streams']} | {row['worse_than_upscale']} "
            f"| {row['consecutive_max_s']:.3f} | {row['best_max_s']:.3f} "
            f"| {row['upscale_max_s']:.3f} |"
        )
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--instances", type=int, default=20_000)
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "benchmarks/results/order")
    options = parser.parse_args(arguments)
    results = {
        "format": "onnxprune.order/1",
        "command": "python benchmarks/order/run.py "
        f"--instances {options.instances} --repeat {options.repeat}",
        "machine": {
            "Python": platform.python_version(),
            "numpy": np.__version__,
            "machine": platform.machine(),
            "cores": os.cpu_count(),
        },
        "exhaustive": exhaustive(options.instances, channels=12, consumers=5),
        "wide": [wide(n, m, kind, options.repeat) for n, m in SIZES for kind in KINDS],
    }
    options.output.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results, indent=1) + "\n"
    (options.output / "order.json").write_text(text, encoding="utf-8")
    (options.output / "order.md").write_text(markdown(results), encoding="utf-8")
    print(markdown(results))


if __name__ == "__main__":
    main()
