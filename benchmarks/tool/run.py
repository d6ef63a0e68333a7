"""Time onnxprune's own stages, beside Torch-Pruning on the same networks in the same run.

Every measurement is a process of its own, on one thread. Repetitions of both programs alternate, so
that whatever else the machine does falls on both; ratios are taken within the run. A third process
per repetition measures the peak memory of pruning without verification.

Usage::

    python benchmarks/tool/run.py [--models NAME ...] [--repeat N] [--zoo DIR]
        [--peer-python PYTHON] -o DIR

Writes ``results.json`` and ``table.md`` into the given directory.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from table import markdown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MODELS = ("resnet50", "densenet121", "vit_b_16", "swin_t")
COMPARED = ("analyze", "plan", "apply")
PEER_COMPARED = ("build", "prune")
CRITERION = "l2"  # the norm of the weights, which is also what the peer goes by
PACKAGES = ("onnx", "onnx-graphsurgeon", "onnxruntime", "numpy")
TIMEOUT_S = 600
PEER_MEMORY_BYTES = 8 << 30
# Threads of the libraries below numpy and torch.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

Run = dict[str, Any]


def start(command: Sequence[str | Path]) -> Run:
    """Run a job in a process of its own and return what it printed, or how it failed."""
    environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": str(ROOT)}
    try:
        done = subprocess.run(
            [str(part) for part in command], env=environment, capture_output=True, text=True,
            timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"error": f"no end within {TIMEOUT_S} s"}
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return {"error": f"exit code {done.returncode}: {last[:160]}"}
    result: Run = json.loads(done.stdout.splitlines()[-1])
    return result


def spread(values: Iterable[float]) -> dict[str, float]:
    """Return median, least and greatest."""
    listed = list(values)
    summary = {"median": median(listed), "min": min(listed), "max": max(listed)}
    return {k: round(v, 4) for k, v in summary.items()}


def total(runs: Sequence[Run], kind: str, stages: Sequence[str]) -> dict[str, float]:
    """Summarise the sum of some stages over all repetitions."""
    return spread(sum(run[kind][s] for s in stages) for run in runs)


def measure(
    model: Path, name: str, *, ratio: float, repeat: int, peer: str | None
) -> dict[str, list[Run]]:
    """Repeat all measurements of one network, both programs in turns.

    A peer that failed once is not started again.
    """
    runs: dict[str, list[Run]] = {"full": [], "lean": [], "peer": []}

    def own() -> None:
        with tempfile.TemporaryDirectory() as folder:
            python, out = sys.executable, Path(folder) / "out.onnx"
            how = ["--ratio", str(ratio), "--criterion", CRITERION]
            runs["full"].append(start([python, HERE / "job.py", model, out, *how]))
            command = ["prune", model, "-o", out, *how, "--no-verify"]
            runs["lean"].append(start([python, HERE / "memory.py", *command]))

    def other() -> None:
        if peer is not None and all("params" in run for run in runs["peer"]):
            limit = ["--memory-limit", str(PEER_MEMORY_BYTES)]
            command = [peer, HERE / "peer.py", name, "--ratio", str(ratio), *limit]
            runs["peer"].append(start(command))

    turns: list[Callable[[], None]] = [own, other]
    for _ in range(repeat):
        for turn in turns:
            turn()
        turns.reverse()
        print(f"{name}: {len(runs['full'])} of {repeat}", file=sys.stderr)
    return runs


def summarise(runs: dict[str, list[Run]]) -> dict[str, Any]:
    """Turn the repetitions of one network into medians and ratios."""
    failed = [r["error"] for kind in ("full", "lean") for r in runs[kind] if "error" in r]
    if failed:
        return {"error": failed[0]}
    full, lean, peer = runs["full"], runs["lean"], runs["peer"]
    peak, size = max(r["peak_bytes"] for r in lean), full[0]["file_bytes"]
    result: dict[str, Any] = {
        "file_bytes": size,
        "params": full[0]["params"],
        "macs": full[0]["macs"],
        "exact": all(r["exact"] for r in full),
        "seconds": {s: spread(r["seconds"][s] for r in full) for s in full[0]["seconds"]},
        "compared_seconds": total(full, "seconds", COMPARED),
        "compared_cpu_seconds": total(full, "cpu_seconds", COMPARED),
        "peak_bytes": peak,
        "peak_bytes_permitted": size * 5 // 2 + 300_000_000,
    }
    if peer:
        result["peer"] = summarise_peer(peer)
        for unit in ("seconds", "cpu_seconds"):
            other = result["peer"].get(f"compared_{unit}")
            if other:
                ratio = result[f"compared_{unit}"]["median"] / other["median"]
                result[f"ratio_{unit}"] = round(ratio, 3)
    return result


def summarise_peer(runs: Sequence[Run]) -> dict[str, Any]:
    """Turn the repetitions of the peer into medians; its failure is kept in its own words."""
    last = runs[-1]
    kept = {k: last[k] for k in ("error", "repair", "params") if last.get(k) is not None}
    if any("params" not in run for run in runs):
        return kept
    return {
        **kept,
        "seconds": {s: spread(r["seconds"][s] for r in runs) for s in last["seconds"]},
        "compared_seconds": total(runs, "seconds", PEER_COMPARED),
        "compared_cpu_seconds": total(runs, "cpu_seconds", PEER_COMPARED),
        "peak_bytes": max(r["peak_bytes"] for r in runs),
    }


def machine() -> dict[str, Any]:
    """Describe what the figures were taken on."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return {
        "processor": names[0] if names else platform.machine(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_average": round(os.getloadavg()[0], 2),
    }


def files(names: Sequence[str], exporter: str, zoo: Path | None, spare: Path) -> dict[str, Path]:
    """Return the model file of every network; without a directory they are made."""
    folder = zoo or spare
    if zoo is None:
        fill = [sys.executable, ROOT / "benchmarks" / "zoo.py", "fill"]
        wanted = [f"{name}.{exporter}" for name in names]
        subprocess.run([*fill, *wanted, "--to", folder], check=True)
    found = {name: folder / f"{name}.{exporter}.onnx" for name in names}
    missing = [path.name for path in found.values() if not path.is_file()]
    if missing:
        message = f"not in {folder}: {', '.join(missing)}; `zoo.py fill` makes them"
        raise SystemExit(message)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, write, and return 0 when no job of this program failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=MODELS, metavar="NAME")
    parser.add_argument("--exporter", choices=("ts", "dynamo"), default="ts")
    parser.add_argument("--ratio", type=float, default=0.5)
    parser.add_argument("--repeat", type=int, default=3, metavar="N")
    parser.add_argument("--zoo", type=Path, metavar="DIR", help="filled skeletons; default: fill")
    parser.add_argument("--peer-python", metavar="PYTHON", help="interpreter with torch-pruning")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    args = parser.parse_args(argv)

    about = machine()
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    networks = {}
    with tempfile.TemporaryDirectory() as spare:
        for name, path in files(args.models, args.exporter, args.zoo, Path(spare)).items():
            runs = measure(path, name, ratio=args.ratio, repeat=args.repeat, peer=args.peer_python)
            for run in runs["peer"]:
                versions |= run.pop("versions", {})
            networks[f"{name}.{args.exporter}"] = {**summarise(runs), "runs": runs}
    results = {
        "machine": about,
        "versions": versions,
        "settings": {
            "ratio": args.ratio,
            "criterion": CRITERION,
            "repeat": args.repeat,
            "threads": 1,
        },
        "networks": networks,
    }
    args.output.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results, indent=1)
    (args.output / "results.json").write_text(f"{text}\n", encoding="utf-8")
    (args.output / "table.md").write_text(markdown(results), encoding="utf-8")
    return 1 if any("error" in n for n in networks.values()) else 0


if __name__ == "__main__":
    raise SystemExit(main())
