"""`onnxprune demo`: the main job on a small trained model that comes with the package."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxprune.cli.options import debug_option, json_option

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from onnxprune.report.demo import DemoSide
    from onnxprune.report.models import ModelFacts
    from onnxprune.runtime.session import Session

_REMOVE_MACS = 0.7
_BATCH = 64
_RUNS = 201
_BUDGET_S = 5.0
_LIMITS: dict[str, Any] = {
    "verified": "exact",
    "provenance": True,
    "max_macs_ratio": 0.3,
    "max_bytes_ratio": 0.5,
    "metric": "onnxprune.demo:accuracy",
    "max_metric_drop": 0.02,
}


@click.command()
@json_option
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="OUT",
    help="Keep the pruned model.",
)  # fmt: skip
@click.option(
    "--page", type=click.Path(path_type=Path), metavar="FILE.html",
    help="Write the page that `onnxprune report` makes, with a measured latency.",
)  # fmt: skip
@debug_option
@click.pass_context
def demo(
    ctx: click.Context, json_path: Path | None, output: Path | None, page: Path | None
) -> None:
    """Prune a small trained model that comes with the package.

    It reads handwritten digits. Seven tenths of its multiply-accumulates leave, in steps of 8
    channels, and the weights that stay are repaired with unlabelled images, without any training;
    accuracy is measured on images that nothing here has seen. It ends in a check, as a pipeline
    would make it.
    """
    from onnxprune import pipeline  # noqa: PLC0415  # not for --help
    from onnxprune.cli.console import STDOUT, show, write_document  # noqa: PLC0415
    from onnxprune.cli.progress import showing_progress  # noqa: PLC0415
    from onnxprune.config import CheckSection, parse_section  # noqa: PLC0415
    from onnxprune.demo import CALIBRATION, MODEL  # noqa: PLC0415
    from onnxprune.gate.job import Job  # noqa: PLC0415
    from onnxprune.gate.run import run_checks  # noqa: PLC0415
    from onnxprune.gate.table import check_table  # noqa: PLC0415
    from onnxprune.report.demo import DemoReport  # noqa: PLC0415
    from onnxprune.report.tables import demo_table  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="onnxprune-") as folder, showing_progress() as progress:
        small = output or Path(folder) / "digits-pruned.onnx"
        plan = Path(folder) / "plan.json"
        outcome = pipeline.prune(
            MODEL, small, remove_macs=_REMOVE_MACS, calibration=CALIBRATION,
            plan_out=plan, report=Path(folder) / "prune.json", metric=_LIMITS["metric"],
            progress=progress,
        )  # fmt: skip
        accuracy, latency = _measure(MODEL, small)
        section = parse_section(CheckSection, {**_LIMITS, "baseline": MODEL, "plan": plan},
                                where="demo")  # fmt: skip
        checked = run_checks(Job(small, section, progress=progress))
        if page is not None:
            (Path(folder) / "check.json").write_text(checked.to_json(), encoding="utf-8")
            _write_page(page, Path(folder), small)
    assert outcome.verified is not None
    report = DemoReport(
        before=_side(outcome.input, accuracy[0], latency[0]),
        after=_side(outcome.output, accuracy[1], latency[1]),
        verified=outcome.verified,
        images=len(_images()[1]),
        runs=_RUNS,
    )
    if json_path is not None:
        write_document(report, json_path, ())
    if json_path != STDOUT:
        show(
            demo_table(report),
            f"  {outcome.input.path.rpartition('/')[2]}, verified against its masked original: "
            f"{'exact' if report.verified.exact else 'NOT exact'}. No training; "
            "repaired with unlabelled images.\n"
            f"  Accuracy on {report.images} images never trained on. Latency is indicative: median "
            f"of {_RUNS} alternating runs of {_BATCH} images, 1 thread.\n",
            *check_table(checked),
            *([] if page is None else [f"\n  All of it on one page: {page}"]),
        )
    ctx.exit(checked.status)


def _write_page(page: Path, folder: Path, small: Path) -> None:
    """Write a page of the documents in a folder and of a short measurement."""
    from onnxprune import pipeline  # noqa: PLC0415
    from onnxprune.cli.console import write_document  # noqa: PLC0415
    from onnxprune.demo import MODEL  # noqa: PLC0415
    from onnxprune.page import read_results, to_html  # noqa: PLC0415

    bench = folder / "bench.json"
    measured = pipeline.benchmark([MODEL, small], batch=_BATCH, time_budget_s=_BUDGET_S)
    bench.write_text(measured.to_json(), encoding="utf-8")
    documents = [folder / "prune.json", bench, folder / "check.json"]
    write_document(to_html(read_results(documents)), page, ())


def _side(facts: ModelFacts, accuracy: float, latency_ms: float) -> DemoSide:
    from onnxprune.report.demo import DemoSide  # noqa: PLC0415

    return DemoSide(
        params=facts.params, macs=facts.macs, bytes=facts.bytes, accuracy=accuracy,
        latency_ms=latency_ms,
    )  # fmt: skip


def _images() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    from onnxprune.demo import load_digits  # noqa: PLC0415

    return load_digits()


def _measure(*models: Path) -> tuple[list[float], list[float]]:
    """Return accuracy and median latency in milliseconds of each model.

    The models take turns, so that whatever else the machine does hits both.
    """
    from onnxprune.runtime.session import open_session  # noqa: PLC0415

    sessions = [open_session(m, optimize=True) for m in models]
    images, labels = _images()
    accuracy = [_accuracy(s, images, labels) for s in sessions]
    times: list[list[float]] = [[] for _ in sessions]
    for turn in range(_RUNS):
        order = list(enumerate(sessions))
        for number, session in order if turn % 2 else reversed(order):
            start = time.perf_counter()
            session.run(None, {"image": images[:_BATCH]})
            times[number].append((time.perf_counter() - start) * 1e3)
    return accuracy, [sorted(t)[len(t) // 2] for t in times]


def _accuracy(session: Session, images: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    [logits] = session.run(None, {"image": images})
    return float((logits.argmax(axis=1) == labels).mean())
