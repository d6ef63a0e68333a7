"""Whether every network can be written when its consumers drop channels of their own.

Prunes every float model of some directories with `--coupling unconstrained`, by chance and with
samples, through the command line as a user does. The tool compares each file with the original
whose consumers have exactly those slices of their weights zeroed, and writes none that differs.

Usage, from the root of the repository::

    python benchmarks/coupling/coverage.py DIR ... [--out FILE] [--criteria NAME,...]
        [--ratios R,...] [--only PATTERN] [--samples N]

Rows of earlier runs are kept, and those that failed are done again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]
OUT = ROOT / "benchmarks" / "results" / "coupling" / "coverage.json"
CRITERIA = "random,obs"
RATIOS = "0.3,0.5"
LIMIT_S = 600
INTEGER_OPS = {
    "ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul", "QuantizeLinear",
    "DequantizeLinear", "DynamicQuantizeLinear", "DynamicQuantizeLSTM",
}  # fmt: skip
NOTHING = "nothing to prune"
NOT_RUN = "made-up samples do not run"
FINE = ("exact", NOTHING, NOT_RUN)

Row = dict[str, Any]


def is_float(path: Path) -> bool:
    """Tell whether a model computes with floating-point weights throughout."""
    return not any(n.op_type in INTEGER_OPS for n in onnx.load(path).graph.node)


def measure(path: Path, criterion: str, ratio: float, samples: int) -> Row:
    """Prune once and return what came of it."""
    row: Row = {"model": path.stem, "criterion": criterion, "ratio": ratio}
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [
            sys.executable, "-m", "onnxprune", "prune", path, "-o", Path(folder) / "pruned.onnx",
            "--ratio", ratio, "--criterion", criterion, "--coupling", "unconstrained",
            "--report", report,
        ]  # fmt: skip
        if criterion == "obs":
            command += ["--calibration", "synthetic", "--samples", samples]
            row["samples"] = samples
        start = time.perf_counter()
        try:
            done = subprocess.run(
                [str(part) for part in command], capture_output=True, text=True, timeout=LIMIT_S,
                env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return row | {"outcome": f"no end within {LIMIT_S} s"}
        row["seconds"] = round(time.perf_counter() - start, 1)
        if done.returncode:
            last = next((t for t in done.stderr.splitlines() if t.startswith("error")), "error:")
            known = {(1, "nothing can be removed"): NOTHING, (2, "cannot be run"): NOT_RUN}
            found = [
                v for (code, text), v in known.items() if code == done.returncode and text in last
            ]
            return row | {"outcome": found[0] if found else "failed", "message": last[:300]}
        return row | describe(json.loads(report.read_text()))


def describe(report: dict[str, Any]) -> Row:
    """Return what a row says of a file that was written."""
    verified, copies = report["verified"], report["copies"] or {"slices": 0, "gathers": 0}
    return {
        "outcome": "exact" if verified["exact"] else "differs",
        "error": float(f"{verified['max_rel']:.1e}"),
        "macs_removed": round(report["achieved"]["macs"], 4),
        "params_removed": round(report["achieved"]["params"], 4),
        "nodes_added": report["output"]["nodes"] - report["input"]["nodes"],
        "slices": copies["slices"],
        "gathers": copies["gathers"],
    }


def table(rows: Sequence[Row]) -> str:
    """Return the outcomes as Markdown: a line for each model."""
    columns = list(dict.fromkeys((r["criterion"], r["ratio"]) for r in rows))
    by_model: dict[str, dict[tuple[str, float], Row]] = {}
    for row in rows:
        by_model.setdefault(row["model"], {})[row["criterion"], row["ratio"]] = row
    counts = Counter(r["outcome"] for r in rows)
    title = "Networks written with every consumer for itself"
    lines = [
        f"# {title}",
        "",
        ", ".join(f"{n} {outcome}" for outcome, n in counts.most_common())
        + ". In brackets: largest relative error; copies added; seconds.",
        "",
        "| model | " + " | ".join(f"{c}, {r:.0%}" for c, r in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for model, found in by_model.items():
        cells = [_cell(found[c]) if c in found else "" for c in columns]
        lines.append(f"| {model} | " + " | ".join(cells) + " |")
    reasons = {r["model"]: r["message"] for r in rows if r.get("message")}
    lines += ["", *(f"- {model}: {text}" for model, text in reasons.items())] if reasons else []
    return "\n".join(lines) + "\n"


def _cell(row: Row) -> str:
    if "error" not in row:
        return str(row["outcome"])
    copies = row["slices"] + row["gathers"]
    return f"{row['outcome']} ({row['error']:.0e}; {copies}; {row['seconds']:.0f})"


def _size(path: Path) -> int:
    return path.stat().st_size


def main(argv: Sequence[str] | None = None) -> int:
    """Prune all models; 0 when every file that was to be written is exact."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directories", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=OUT, help="default: %(default)s")
    parser.add_argument("--criteria", default=CRITERIA, help="default: %(default)s")
    parser.add_argument("--ratios", default=RATIOS, help="default: %(default)s")
    parser.add_argument("--only", default="*", help="pattern of names")
    parser.add_argument("--samples", type=int, default=8, help="default: %(default)s")
    args = parser.parse_args(argv)
    paths = sorted((p for d in args.directories for p in d.glob("*.onnx")), key=_size)
    paths = [p for p in paths if fnmatch(p.stem, args.only) and is_float(p)]
    rows: dict[tuple[str, str, float], Row] = {}
    if args.out.exists():
        kept = [r for r in json.loads(args.out.read_text()) if r["outcome"] in FINE]
        rows = {(r["model"], r["criterion"], r["ratio"]): r for r in kept}
    for criterion in args.criteria.split(","):
        for ratio in (float(r) for r in args.ratios.split(",")):
            for path in paths:
                if (path.stem, criterion, ratio) in rows:
                    continue
                row = measure(path, criterion, ratio, args.samples)
                rows[path.stem, criterion, ratio] = row
                print(row, flush=True)
                args.out.parent.mkdir(parents=True, exist_ok=True)
                lines = ",\n".join(json.dumps(rows[k]) for k in sorted(rows))
                args.out.write_text(f"[\n{lines}\n]\n")
    args.out.with_suffix(".md").write_text(table(list(rows.values())))
    return int(any(r["outcome"] not in FINE for r in rows.values()))


if __name__ == "__main__":
    sys.exit(main())
