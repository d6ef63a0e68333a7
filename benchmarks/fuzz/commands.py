"""Give files to analyze, prune and verify: `commands.py MODEL ... --seeds 0 100`.

Every seed takes one of the given models, or one of the project's random graphs, changes up to three
things in it, and runs the commands under limits (20 s, 4 GiB each). Without --seeds, every given
model is taken as it is. One line per finding; the totals go to stdout as JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import onnxprune.pipeline
import onnxprune.report.analysis
import onnxprune.report.tables  # noqa: F401  # imported once, not in every fork
from onnxprune.cli import analyze, prune, verify  # noqa: F401
from onnxprune.cli.main import run
from onnxprune.testing.contract import check_file
from onnxprune.testing.mutations import mutate
from onnxprune.testing.random_graphs import random_model


def mutated(seed: int, models: list[Path], folder: Path) -> str:
    """Write a mutated model into a folder and return what it was made of."""
    rng = random.Random(seed)
    name = f"random graph {seed}"
    if not models or rng.random() < 0.3:
        content = random_model(seed).SerializeToString()
    else:
        source = rng.choice(models)
        name = unchanged(source, folder)
        content = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(mutate(content, rng))
    return name


def unchanged(source: Path, folder: Path) -> str:
    """Copy a model and the data files beside it into a folder and return its name."""
    for data in source.parent.iterdir():
        if data.is_file() and data.suffix not in {".onnx", ".json"}:
            shutil.copy(data, folder / data.name)
    shutil.copyfile(source, folder / "model.onnx")
    return f"{source.parent.name}/{source.name}"


def main() -> int:
    """Run the commands; returns 1 when there was a finding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path, nargs="*", help="files, or folders of them")
    parser.add_argument("--seeds", type=int, nargs=2, metavar=("FIRST", "LAST"))
    parser.add_argument("--keep", type=Path, help="folder for files with findings")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    models = [
        m for p in options.models for m in ([p] if p.is_file() else sorted(p.rglob("*.onnx")))
    ]
    cases: list[int | Path] = list(models) if options.seeds is None else [*range(*options.seeds)]
    totals: Counter[str] = Counter()
    files: dict[str, dict[str, int]] = {}
    findings = []
    slowest = 0.0
    for number, case in enumerate(cases):
        with tempfile.TemporaryDirectory() as name:
            folder, scratch = Path(name) / "case", Path(name) / "scratch"
            folder.mkdir()
            scratch.mkdir()
            source = (
                unchanged(case, folder) if isinstance(case, Path) else mutated(case, models, folder)
            )
            try:
                done = check_file(run, folder, scratch)
            except AssertionError as error:
                findings.append({"case": str(case), "source": source, "finding": str(error)[:500]})
                print(f"{case} ({source}): {error}", file=sys.stderr, flush=True)
                if options.keep:
                    shutil.copytree(folder, options.keep / str(number), dirs_exist_ok=True)
                continue
            totals.update(f"{name} {ran.code}" for name, ran in done.items())
            files[source] = {name: ran.code for name, ran in done.items()}
            slowest = max(slowest, *(ran.seconds for ran in done.values()))
    summary = {
        "seeds": options.seeds,
        "models": len(models),
        "exit statuses": dict(sorted(totals.items())),
        "slowest command, seconds": round(slowest, 1),
        "findings": findings,
    }
    if options.seeds is None:
        summary["files"] = files
    print(json.dumps(summary, indent=1))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
