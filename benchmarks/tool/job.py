"""Prune and verify one model in this process, and say how long each stage took.

Prints one JSON object. Started by `run.py`, once per measurement, so that every run is the first
one of its process.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path


class Clock:
    """Processor time by stage, as told by the progress of the job."""

    def __init__(self) -> None:
        self.marks: list[tuple[str, float]] = []

    def observe(self, stage: str, _done: int, total: int) -> None:
        """Take note of the beginning of a stage."""
        if not total:
            self.marks.append((stage, time.process_time()))

    def seconds(self) -> dict[str, float]:
        """Return processor time by stage; that of child processes is not part of it."""
        ends = [*(start for _, start in self.marks[1:]), time.process_time()]
        return {n: round(e - s, 4) for (n, s), e in zip(self.marks, ends, strict=True)}


def main() -> None:
    """Prune and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--ratio", type=float, required=True)
    parser.add_argument("--criterion", required=True)
    args = parser.parse_args()

    start = time.perf_counter()
    from onnxprune.pipeline import prune  # noqa: PLC0415  # the import is timed as well

    imported = time.perf_counter() - start
    clock = Clock()
    report = prune(
        args.model, args.output, ratio=args.ratio, criterion=args.criterion, progress=clock.observe
    )
    result = {
        "seconds": {"import": round(imported, 4), **report.seconds},
        "cpu_seconds": clock.seconds(),
        "file_bytes": report.input.bytes,
        "params": round(report.output.params / report.input.params, 4),
        "macs": round(report.output.macs / report.input.macs, 4),
        "exact": report.verified.exact if report.verified else None,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
