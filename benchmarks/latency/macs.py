"""Do removed multiply-accumulates become saved time?

Models lose half of their multiply-accumulates as the README advises (`--remove-macs 0.5 --align
auto`), and are measured against the original on the CPU with one thread. The ratio of times divided
by the ratio of multiply-accumulates should be at most 1.25; for every node whose time fell by
clearly less, the results hold both ratios and what keeps its time.

Usage::

    python benchmarks/latency/macs.py MODEL.onnx ... [--vgg16] [--align auto] -o FILE

Run `onnxprune calibrate-costs` on the models first, as the advice is. Results are written after
every model; models that FILE already holds are not run again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from onnxprune import pipeline
from onnxprune.bench.environment import describe_machine
from onnxprune.report.costs import calibrate

if TYPE_CHECKING:
    from onnxprune.bench.document import ComparisonEntry, OperatorPair, RunEntry

LIMIT = 1.25
SHARE = 0.005
VGG16 = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)


def build_vgg16(path: Path) -> None:
    """Write VGG-16 (Simonyan and Zisserman, 2014, configuration D) with random weights."""
    generator = np.random.default_rng(0)
    nodes, weights = [], []
    value, channels = "image", 3

    def add(op: str, name: str, *, shape: tuple[int, ...] = (), **attributes: object) -> None:
        nonlocal value
        inputs = [value]
        if shape:
            spread = np.float32(np.sqrt(2 / np.prod(shape[1:])))
            weight = generator.standard_normal(shape, dtype=np.float32) * spread
            for suffix, array in (("w", weight), ("b", np.zeros(shape[0], np.float32))):
                weights.append(numpy_helper.from_array(array, f"{name}.{suffix}"))
                inputs.append(f"{name}.{suffix}")
        nodes.append(helper.make_node(op, inputs, [f"{name}.out"], name, **attributes))
        value = f"{name}.out"

    for number, width in enumerate(VGG16):
        if not width:
            add("MaxPool", f"pool{number}", kernel_shape=[2, 2], strides=[2, 2])
            continue
        add("Conv", f"conv{number}", shape=(width, channels, 3, 3), pads=[1, 1, 1, 1])
        add("Relu", f"relu{number}")
        channels = width
    add("Flatten", "flatten")
    for number, (width, inner) in enumerate(((4096, 512 * 49), (4096, 4096), (1000, 4096))):
        add("Gemm", f"fc{number}", shape=(width, inner), transB=1)
        if width != 1000:
            add("Relu", f"fcrelu{number}")
    graph = helper.make_graph(
        nodes, "vgg16",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 224, 224])],
        [helper.make_tensor_value_info(value, TensorProto.FLOAT, [1, 1000])], weights,
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)


def measure(
    model: Path, *, align: int | str, remove: float, time_budget_s: float
) -> dict[str, Any]:
    """Prune one model and compare it with the original."""
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "small.onnx"
        report = pipeline.prune(model, small, remove_macs=remove, align=align, verify=False)
        bench = pipeline.benchmark([model, small], time_budget_s=time_budget_s)
    [comparison] = bench.comparisons
    before, after = bench.runs
    quotient = comparison.ratio / (comparison.macs_ratio or 1.0)
    return {
        "quotient": round(quotient, 4), "within": quotient <= LIMIT,
        "ratio": round(comparison.ratio, 4), "ci95": [round(v, 4) for v in comparison.ci95],
        "macs_ratio": round(comparison.macs_ratio or 0.0, 4), "verdict": comparison.verdict,
        "align": report.settings.get("align", 1), "notes": report.notes,
        "cpu_p50_ms": [before.cpu_p50_ms, after.cpu_p50_ms],
        "share_without_macs": {
            "before": share_without_macs(before), "after": share_without_macs(after),
        },
        "slow_to_fall": slow_to_fall(comparison),
    }  # fmt: skip


def share_without_macs(run: RunEntry) -> float:
    """Return the share of the time that goes into nodes without multiply-accumulates."""
    return round(
        sum(o.us for o in run.operators if not o.macs) / sum(o.us for o in run.operators), 4
    )


def slow_to_fall(comparison: ComparisonEntry) -> list[dict[str, Any]]:
    """Return the nodes that take time and lost clearly less of it than the whole lost in MACs."""
    total = sum(o.before_us or 0.0 for o in comparison.operators)
    whole = comparison.macs_ratio or 1.0
    found = []
    for pair in comparison.operators:
        if not pair.before_us or not pair.after_us or pair.before_us < SHARE * total:
            continue
        time = pair.after_us / pair.before_us
        if time > LIMIT * whole:
            found.append(
                {
                    "node": pair.node, "op": pair.op, "share": round(pair.before_us / total, 4),
                    "time_ratio": round(time, 3), "reason": reason(pair, whole),
                }
            )  # fmt: skip
    return sorted(found, key=lambda f: -f["share"] * f["time_ratio"])


def reason(pair: OperatorPair, whole: float) -> str:
    """Say why the time of a node fell by less than the multiply-accumulates of the network."""
    assert pair.before_us
    assert pair.after_us
    if not pair.before_macs or not pair.after_macs:
        return "no multiply-accumulates: time goes with what is read and written"
    macs = pair.after_macs / pair.before_macs
    if macs > LIMIT * whole:
        return f"its channels are worth more: {macs:.0%} of its own MACs stay"
    speeds = [m / t / 1e3 for m, t in ((pair.before_macs, pair.before_us),
                                       (pair.after_macs, pair.after_us))]  # fmt: skip
    return f"narrow layers are less efficient: {speeds[0]:.0f} -> {speeds[1]:.0f} GMAC/s"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--vgg16", action="store_true", help="VGG-16 with random weights as well")
    parser.add_argument("--align", default="auto", help="a number, or auto")
    parser.add_argument("--remove", type=float, default=0.5)
    parser.add_argument("--time-budget", type=float, default=30.0, help="seconds per comparison")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    output = arguments.output
    align = arguments.align if arguments.align == "auto" else int(arguments.align)
    results: dict[str, Any] = json.loads(output.read_text()) if output.exists() else {}
    results.setdefault("machine", describe_machine().model_dump())
    found = results.setdefault("models", {})
    with tempfile.TemporaryDirectory() as folder:
        models = list(arguments.models)
        if arguments.vgg16:
            models.append(Path(folder) / "vgg16.onnx")
            build_vgg16(models[-1])
        for model in models:
            if model.name in found:
                continue
            calibrate([model])
            found[model.name] = measure(
                model, align=align, remove=arguments.remove, time_budget_s=arguments.time_budget
            )
            shown = {k: v for k, v in found[model.name].items() if k != "slow_to_fall"}
            print(model.name, json.dumps(shown), flush=True)
            output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
