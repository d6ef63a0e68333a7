"""Make the example of a report in docs/: the PP-OCRv4 recogniser, pruned at three ratios.

    python benchmarks/accuracy/example_report.py --models DIR

Needs what `run.py` needs for the task `ppocr-v4-rec`.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parent))

from run import save_calibration
from tasks import load_task

import onnxprune
from onnxprune.page import read_results, to_html

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TASK = "ppocr-v4-rec"
RATIOS = (0.2, 0.3, 0.5)
SAMPLES = 96
MODELS, CACHE = "EXAMPLE_MODELS", "EXAMPLE_CACHE"
DOCS = Path(__file__).parents[2] / "docs"


def character_accuracy(run: Callable[[Mapping[str, Any]], dict[str, Any]]) -> float:
    """Return 1 - edit distance / length over rendered lines; called in a process of its own."""
    task = load_task(TASK, Path(os.environ[MODELS]), cache=Path(os.environ[CACHE]))
    return task.measure(lambda feed: list(run(feed).values()))


def main() -> None:
    """Prune, measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, required=True, help="where the models are")
    parser.add_argument("--cache", type=Path, help="where unpacked data is kept")
    parser.add_argument("-o", "--output", type=Path, default=DOCS / "example-report.html")
    parser.add_argument("--time-budget", type=float, default=30.0)
    args = parser.parse_args()
    models = args.models.absolute()
    cache = (args.cache or models / "unpacked").absolute()
    os.environ |= {MODELS: str(models), CACHE: str(cache)}
    task = load_task(TASK, models, cache=cache)
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "lines").mkdir()
        save_calibration(task, folder / "lines", samples=SAMPLES)
        os.chdir(folder)
        Path("ppocr_v4_rec.onnx").symlink_to(task.model_path)
        documents, pruned = [], []
        for ratio in RATIOS:
            small = Path(f"ppocr_v4_rec-{ratio:.0%}.onnx".replace("%", "-percent"))
            documents.append(small.with_suffix(".json"))
            pruned.append(small)
            onnxprune.prune(
                task.model_path.name, small, ratio=ratio, align="auto",
                calibration=folder / "lines", samples=SAMPLES,
                metric="example_report:character_accuracy", report=documents[-1],
            )  # fmt: skip
        found = onnxprune.benchmark([task.model_path.name, *pruned], time_budget_s=args.time_budget)
        documents.append(Path("bench.json"))
        documents[-1].write_text(found.to_json(), encoding="utf-8")
        page = to_html(read_results(documents))
    args.output.write_text(page, encoding="utf-8")
    print(f"{args.output}: {len(page)} characters")


if __name__ == "__main__":
    main()
