"""Give mutated files to the command line: `python benchmarks/fuzz/mutate.py FIRST LAST [MODEL ...]`.

Every seed takes one of the given models, or one of the project's random graphs, changes up to four
things in it, and runs analyze, prune and verify under limits (20 s, 4 GiB each). One line per
finding; the totals go to stdout as JSON. Findings stay in `--keep FOLDER`.
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


def case(seed: int, models: list[Path], folder: Path) -> str:
    """Write a mutated model into a folder and return what it was made of."""
    rng = random.Random(seed)
    name = f"random graph {seed}"
    if not models or rng.random() < 0.3:
        content = random_model(seed).SerializeToString()
    else:
        source = rng.choice(models)
        name, content = source.name, source.read_bytes()
        for data in source.parent.iterdir():
            if data.is_file() and data.suffix != ".onnx":
                shutil.copy(data, folder / data.name)
    (folder / "model.onnx").write_bytes(mutate(content, rng))
    return name


def main() -> int:
    """Run the seeds; returns 1 when there was a finding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int)
    parser.add_argument("models", type=Path, nargs="*", help="files, or folders of them")
    parser.add_argument("--keep", type=Path)
    options = parser.parse_intermixed_args()
    warnings.simplefilter("ignore")
    models = [m for p in options.models for m in ([p] if p.is_file() else sorted(p.rglob("*.onnx")))]
    codes: Counter[str] = Counter()
    slowest: list[tuple[float, int]] = []
    findings = []
    for seed in range(options.first, options.last):
        with tempfile.TemporaryDirectory() as name:
            folder, scratch = Path(name) / "case", Path(name) / "scratch"
            folder.mkdir()
            scratch.mkdir()
            source = case(seed, models, folder)
            try:
                done = check_file(run, folder, scratch)
            except AssertionError as error:
                findings.append({"seed": seed, "source": source, "finding": str(error)[:500]})
                print(f"seed {seed} ({source}): {error}", file=sys.stderr, flush=True)
                if options.keep:
                    shutil.copytree(folder, options.keep / str(seed), dirs_exist_ok=True)
                continue
            codes.update(f"{name} {ran.code}" for name, ran in done.items())
            slowest.append((max(ran.seconds for ran in done.values()), seed))
    totals = {
        "seeds": [options.first, options.last],
        "models": len(models),
        "exit statuses": dict(sorted(codes.items())),
        "slowest seconds": round(max(slowest, default=(0.0, 0))[0], 1),
        "findings": findings,
    }
    print(json.dumps(totals, indent=1))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
