"""What copies cost when every consumer drops half of its channels: four ways to write one plan.

For every model one unconstrained plan is written as a naive export would (a Gather wherever a
consumer wants some channels, or a Slice for every run of them and a Concat), in UPSCALE's order,
and as onnxprune writes it; beside them stand the constrained plan at the same ratio, those that
keep as many parameters, and what `--coupling auto` makes of the same parameters. Times are
processor time of one thread, interleaved, sessions rebuilt. A ratio is the median over rounds, in
each of which every file runs once.

Usage, from the root of the repository::

    python benchmarks/coupling/latency.py --models DIR [--out FILE] [--ratio R] [--rebuilds N]
        [NAME ...]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

import onnxprune
from onnxprune.allocation import Target
from onnxprune.analysis import Analysis, analyze_model
from onnxprune.analysis.expansion import expand
from onnxprune.core.apart import repeated
from onnxprune.core.layout import Layout, plain_layout
from onnxprune.costs import DefaultCosts
from onnxprune.io import write_model
from onnxprune.planning.latency import LatencyModel
from onnxprune.planning.layouts import make_layout
from onnxprune.planning.options import make_settings
from onnxprune.planning.predictions import upscale_layout
from onnxprune.planning.segments import choose_forks
from onnxprune.planning.selection import make_plan
from onnxprune.report.analysis import count_nodes
from onnxprune.rewrite import rewrite
from onnxprune.runtime.feeds import FeedRecipe
from onnxprune.runtime.inputs import input_specs
from onnxprune.verification import verify_cut

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MODELS = (
    "densenet121.ts", "resnet50.ts", "efficientnet_b0.ts", "mobilenet_v2.ts", "googlenet.ts",
    "yolov8n.ts",
)  # fmt: skip
OUT = Path(__file__).parents[1] / "results" / "coupling" / "latency.json"
WARM, RUNS = 3, 12
EQUAL = "constrained, same parameters"
RUNS_OF = "naive, a Slice for every run"


def variants(
    analysis: Analysis, ratio: float
) -> dict[str, tuple[Analysis, NDArray[np.bool_], Layout]]:
    """Return every way to write a model, with the analysis it belongs to."""
    free = expand(analysis)
    plan = make_plan(free, make_settings({"ratio": ratio, "criterion": "l2"}))
    removed = free.removed_labels(plan)
    params = free.cost(removed).params / free.cost().params
    found = {
        "naive": (free, removed, plain_layout(free.deps, removed)),
        "upscale": (free, removed, upscale_layout(free, removed)),
        "ours": (free, removed, make_layout(free.deps, removed)),
    }  # fmt: skip
    constrained: dict[str, dict[str, Any]] = {
        "constrained": {"ratio": ratio},
        "constrained, same parameters": {"remove_params": 1 - params, "align": 8},
        "constrained, same parameters, steps of 16": {"remove_params": 1 - params, "align": 16},
    }
    for name, options in constrained.items():
        settings = make_settings({**options, "allocation": "uniform"})  # type: ignore[typeddict-item]
        flags = analysis.removed_labels(make_plan(analysis, settings))
        found[name] = analysis, flags, plain_layout(analysis.deps, flags)
    forks = choose_forks(free, Target("params", 1 - params), step=8)
    partly = expand(analysis, values=forks) if forks else analysis
    options = constrained["constrained, same parameters"]
    settings = make_settings({**options, "allocation": "uniform"})  # type: ignore[typeddict-item]
    flags = partly.removed_labels(make_plan(partly, settings))
    found["auto, same parameters"] = partly, flags, make_layout(partly.deps, flags)
    return found


def with_runs(path: Path, output: Path) -> None:
    """Write a model in which Gathers of channels are a Slice for every run, and a Concat."""
    model = onnx.load(path)
    known = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        indices = known.get(node.input[1]) if node.op_type == "Gather" else None
        if indices is None or indices.ndim != 1:
            nodes.append(node)
            continue
        axis = next(a.i for a in node.attribute if a.name == "axis")
        parts = []
        for number, run in enumerate(np.split(indices, np.flatnonzero(np.diff(indices) != 1) + 1)):
            names = [f"{node.output[0]}.{number}.{k}" for k in ("from", "to", "axis")]
            bounds = (int(run[0]), int(run[-1]) + 1, axis)
            model.graph.initializer.extend(
                numpy_helper.from_array(np.array([v], np.int64), n)
                for n, v in zip(names, bounds, strict=True)
            )
            parts.append(f"{node.output[0]}.{number}")
            nodes.append(helper.make_node("Slice", [node.input[0], *names], [parts[-1]]))
        nodes.append(helper.make_node("Concat", parts, [node.output[0]], axis=axis))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    read = {key for node in nodes for key in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in read]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    onnx.save(model, output)


def write(analysis: Analysis, layout: Layout, path: Path) -> dict[str, Any]:
    """Write a model and return what is in it."""
    made = rewrite(
        analysis.proto, analysis.model.array, analysis.deps, layout, copies=analysis.copies
    )
    write_model(made.proto, path, source=analysis.model, arrays=made.arrays)
    before, after = analysis.cost(), analysis.cost(layout.cut)
    more = repeated(analysis.deps, layout.cut, layout.apart)
    return {
        "macs": round((after.macs + more.macs) / before.macs, 4),
        "params": round((after.params + more.params) / before.params, 4),
        "nodes": count_nodes(made.proto.graph),
        "slices": sum(c.op == "Slice" for c in made.copies),
        "gathers": sum(c.op == "Gather" for c in made.copies),
        "repeated": len(layout.apart),
        "bytes_copied": sum(c.bytes for c in made.copies),
        "predicted_ms": round(LatencyModel(analysis.deps, DefaultCosts()).of(layout) / 1e3, 3),
    }


def session(path: Path) -> ort.InferenceSession:
    """Open a model on one thread of the CPU provider."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def measure(
    paths: dict[str, Path], feed: dict[str, np.ndarray], rebuilds: int
) -> dict[str, list[float]]:
    """Return processor times in ms of every file, sessions rebuilt, in random order."""
    times: dict[str, list[float]] = {name: [] for name in paths}
    rng = np.random.default_rng(0)
    for _ in range(rebuilds):
        opened = {name: session(path) for name, path in paths.items()}
        for turn in range(WARM + RUNS):
            for name in rng.permutation(list(paths)).tolist():
                start = time.thread_time()
                opened[name].run(None, feed)
                if turn >= WARM:
                    times[name].append((time.thread_time() - start) * 1e3)
    return times


def run(model: Path, ratio: float, rebuilds: int) -> dict[str, Any]:
    """Measure one model."""
    analysis = analyze_model(model)
    with tempfile.TemporaryDirectory() as folder:
        rows, paths = {}, {"unpruned": model}
        for name, (owner, removed, layout) in variants(analysis, ratio).items():
            path = paths[name] = Path(folder) / f"{name}.onnx"
            rows[name] = write(owner, layout, path)
            rows[name]["exact"] = verify_cut(owner, removed, path).exact
        paths[RUNS_OF] = Path(folder) / "runs.onnx"
        with_runs(paths["naive"], paths[RUNS_OF])
        counts = Counter(n.op_type for n in onnx.load(paths[RUNS_OF]).graph.node)
        rows[RUNS_OF] = {**rows["naive"], "slices": counts["Slice"], "gathers": 0}
        rows[RUNS_OF]["nodes"] = sum(counts.values())
        del rows[RUNS_OF]["predicted_ms"]
        rows["unpruned"] = {"macs": 1.0, "params": 1.0, "nodes": count_nodes(analysis.proto.graph)}
        feed = FeedRecipe(input_specs(analysis.proto), analysis.dims[0], seed=0).make()
        times = measure(paths, feed, rebuilds)
    base = np.array(times[EQUAL])
    for name, found in times.items():
        rows[name]["ms"] = round(float(np.median(found)), 3)
        rows[name]["ratio"] = round(float(np.median(np.array(found) / base)), 4)
    return {"model": model.stem, "rows": rows}


def table(results: Sequence[dict[str, Any]]) -> str:
    """Return the results as a Markdown table."""
    columns = "model|written as|MACs|parameters|Slice|Gather|repeated|MB copied|predicted ms|ms"
    rows = [[*columns.split("|"), "of constrained, same parameters"]]
    rows.append(["---"] * len(rows[0]))
    for result in results:
        for name, row in result["rows"].items():
            predicted = f"{row['predicted_ms']:.2f}" if "predicted_ms" in row else ""
            rows.append([
                result["model"], name, f"{row['macs']:.3f}", f"{row['params']:.3f}",
                str(row.get("slices", 0)), str(row.get("gathers", 0)), str(row.get("repeated", 0)),
                f"{row.get('bytes_copied', 0) / 1e6:.2f}", predicted, f"{row['ms']:.2f}",
                f"{row['ratio']:.3f}",
            ])  # fmt: skip
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def plot(results: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw times relative to the constrained network with as many parameters."""
    import matplotlib.pyplot as plt  # noqa: PLC0415  # only for the picture

    names = [RUNS_OF, "naive", "upscale", "ours", "auto, same parameters", "constrained"]
    figure, axes = plt.subplots(figsize=(10, 4))
    for number, name in enumerate(names):
        places = np.arange(len(results)) + (number - 2.5) * 0.13
        axes.bar(places, [r["rows"][name]["ratio"] for r in results], 0.13, label=name)
    axes.axhline(1.0, color="#444", linewidth=0.8)
    axes.set_xticks(range(len(results)), [r["model"].removesuffix(".ts") for r in results])
    axes.set_ylabel("time / constrained with as many parameters")
    axes.set_ylim(0, 2.6)
    axes.legend(fontsize=7, ncols=3)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure all models; 0 when every file was exact."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", default=MODELS, metavar="NAME")
    parser.add_argument("--models", type=Path, required=True, help="directory of NAME.onnx")
    parser.add_argument("--out", type=Path, default=OUT, help="default: %(default)s")
    parser.add_argument("--ratio", type=float, default=0.5, help="default: %(default)s")
    parser.add_argument("--rebuilds", type=int, default=8, help="default: %(default)s")
    args = parser.parse_args(argv)
    results = []
    for name in args.names:
        results.append(run(args.models / f"{name}.onnx", args.ratio, args.rebuilds))
        print(table(results[-1:]), flush=True)
        document = {
            "ratio": args.ratio,
            "rebuilds": args.rebuilds,
            "environment": {
                "onnxprune": onnxprune.__version__, "onnxruntime": ort.__version__,
                "machine": platform.machine(),
            },
            "results": results,
        }  # fmt: skip
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(document, indent=1) + "\n")
        args.out.with_suffix(".md").write_text(table(results))
        plot(results, args.out.with_suffix(".svg"))
    rows = [row for result in results for row in result["rows"].values()]
    return int(not all(row.get("exact", True) for row in rows))


if __name__ == "__main__":
    sys.exit(main())
