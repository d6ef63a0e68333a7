"""Where the time goes of the files that `latency.py` measures: convolutions, layouts, copies.

Usage, from the root of the repository::

    python benchmarks/coupling/kernels.py --models DIR [--out FILE] [--ratio R] [NAME ...]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latency import MODELS, variants, write

import onnxruntime as ort  # isort: skip

from onnxprune.analysis import analyze_model
from onnxprune.providers.placement import read_kernels
from onnxprune.runtime.feeds import FeedRecipe
from onnxprune.runtime.inputs import input_specs

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

OUT = Path(__file__).parents[1] / "results" / "coupling" / "kernels.json"
RUNS = 20
KINDS = {
    "Conv": "convolutions", "FusedConv": "convolutions", "Gemm": "convolutions",
    "ReorderInput": "order of bytes", "ReorderOutput": "order of bytes",
    "Slice": "copies", "Gather": "copies",
}  # fmt: skip
COLUMNS = ("convolutions", "order of bytes", "copies", "other operators")


def profile(path: Path, feed: dict[str, np.ndarray]) -> dict[str, float]:
    """Return milliseconds by kind of operator, lower quartiles of some runs of one session."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_profiling = True
    options.profile_file_prefix = str(path.with_suffix(".profile"))
    opened = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    for _ in range(RUNS):
        opened.run(None, feed)
    found = dict.fromkeys(COLUMNS, 0.0)
    for kernel in read_kernels(Path(opened.end_profiling()), runs=RUNS):
        found[KINDS.get(kernel.op, "other operators")] += kernel.us / 1e3
    return {kind: round(ms, 3) for kind, ms in found.items()}


def run(model: Path, ratio: float) -> dict[str, Any]:
    """Profile one model in every way that it is written."""
    analysis = analyze_model(model)
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        feed = FeedRecipe(input_specs(analysis.proto), analysis.dims[0], seed=0).make()
        for name, (owner, _, layout) in variants(analysis, ratio).items():
            path = Path(folder) / "model.onnx"
            written = write(owner, layout, path)
            rows[name] = {"macs": written["macs"], **profile(path, feed)}
    return {"model": model.stem, "rows": rows}


def table(results: Sequence[dict[str, Any]]) -> str:
    """Return the results as a Markdown table, in milliseconds."""
    rows = [["model", "written as", "MACs", *COLUMNS, "all"], ["---"] * (len(COLUMNS) + 4)]
    for result in results:
        for name, row in result["rows"].items():
            times = [row[kind] for kind in COLUMNS]
            shown = [f"{ms:.2f}" for ms in (*times, sum(times))]
            rows.append([result["model"], name, f"{row['macs']:.3f}", *shown])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Profile all models."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", default=MODELS, metavar="NAME")
    parser.add_argument("--models", type=Path, required=True, help="directory of NAME.onnx")
    parser.add_argument("--out", type=Path, default=OUT, help="default: %(default)s")
    parser.add_argument("--ratio", type=float, default=0.5, help="default: %(default)s")
    args = parser.parse_args(argv)
    results = []
    for name in args.names:
        results.append(run(args.models / f"{name}.onnx", args.ratio))
        print(table(results[-1:]), flush=True)
        args.out.write_text(json.dumps({"ratio": args.ratio, "results": results}, indent=1) + "\n")
        args.out.with_suffix(".md").write_text(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
