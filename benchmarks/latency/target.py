"""Does `prune --max-latency-ratio` keep its word?

Every model is pruned to a ratio of times on the CPU, with one thread. What the report says is kept:
rounds, predictions, measured intervals. A run succeeds when the upper end of the last interval is
at most the ratio; the prediction is that of the round that was taken.

Usage::

    python benchmarks/latency/target.py MODEL.onnx ... [--ratio 0.7] [--provider cpu] -o FILE

Results are written after every model; models that FILE already holds are not run again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from onnxprune import pipeline
from onnxprune.bench.environment import describe_machine
from onnxprune.errors import OnnxPruneError


def run(model: Path, *, ratio: float, provider: str, threads: int) -> dict[str, Any]:
    """Prune one model."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        try:
            report = pipeline.prune(
                model, Path(folder) / "out.onnx", max_latency_ratio=ratio, provider=provider,
                threads=threads,
            )  # fmt: skip
        except OnnxPruneError as error:
            return {"error": str(error), "seconds": round(time.monotonic() - start, 1)}
    assert report.latency is not None
    assert report.verified is not None
    found = report.latency
    return {
        "reached": found.ci95[1] <= ratio,
        "prediction_error": round(found.predicted / found.ratio - 1, 4),
        "first_prediction_error": round(
            found.iterations[0].predicted / found.iterations[0].ratio - 1, 4
        ),
        "latency": found.model_dump(), "achieved": report.achieved.model_dump(),
        "exact": report.verified.exact, "seconds": round(time.monotonic() - start, 1),
    }  # fmt: skip


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--ratio", type=float, default=0.7)
    parser.add_argument("--provider", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    output = arguments.output
    results: dict[str, Any] = json.loads(output.read_text()) if output.exists() else {}
    results.setdefault("machine", describe_machine().model_dump())
    for model in arguments.models:
        found = results.setdefault("models", {})
        if model.name in found:
            continue
        found[model.name] = run(
            model, ratio=arguments.ratio, provider=arguments.provider, threads=arguments.threads
        )
        print(model.name, json.dumps(found[model.name]), flush=True)
        output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
