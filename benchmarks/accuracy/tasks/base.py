"""What all tasks share: their interface, sessions on one thread, and where data is kept.

A task is a trained model, unlabelled samples to calibrate on, and a test that none of the samples
is part of. Its metric lies in [0, 1], or a little below 0 for character accuracy; more is better.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnxruntime as ort

Array = np.ndarray[Any, np.dtype[Any]]
Feed = dict[str, Array]
Run = Callable[[Feed], list[Array]]
Model = Path | str | bytes | ort.InferenceSession | Run


class Task(ABC):
    """One task; a subclass names its files and its metric.

    Args:
        models: The directory with `model_file`.
        data: The directory with the files that `benchmarks/zoo.py fetch` writes; default `models`.
        cache: Where unpacked data is kept between runs; default a directory beside the data.

    Attributes:
        name: What the task is called on the command line.
        metric_name: What `evaluate` returns, in words.
        model_file: File name of the model.
        targets: What is asked for, as options of `prune`, unless the command line says otherwise.
        options: Further options of `prune` that belong to the task.
        model_path: The model to prune.
    """

    name: ClassVar[str]
    metric_name: ClassVar[str]
    model_file: ClassVar[str]
    targets: ClassVar[tuple[str, ...]] = (
        "remove_macs=0.1",
        "remove_macs=0.2",
        "remove_macs=0.3",
        "remove_macs=0.5",
        "ratio=0.3",
        "ratio=0.5",
    )
    options: ClassVar[Mapping[str, Any]] = {}

    def __init__(
        self, models: Path, *, data: Path | None = None, cache: Path | None = None
    ) -> None:
        self.model_path = Path(models) / self.model_file
        self.data = Path(data or models)
        self.cache = Path(cache or self.data / "unpacked")
        self.cache.mkdir(parents=True, exist_ok=True)

    @abstractmethod
    def calibration(self, n: int, seed: int = 0) -> list[Feed]:
        """Draw n unlabelled samples, one per feed, none of which is in the test."""

    @abstractmethod
    def measure(self, run: Run) -> float:
        """Return the metric of a model that `run` runs."""

    def evaluate(self, model: Model) -> float:
        """Return the metric of a model: a file, its bytes, a session, or a function of a feed."""
        return float(self.measure(runner(model)))

    def batches(self, feeds: Sequence[Feed], size: int) -> list[Feed]:
        """Join feeds of one shape along their first axis."""
        return [
            {k: np.concatenate([f[k] for f in feeds[i : i + size]]) for k in feeds[0]}
            for i in range(0, len(feeds), size)
        ]


def runner(model: Model) -> Run:
    """Return a function that runs a model on one thread and returns its outputs in order."""
    if isinstance(model, ort.InferenceSession):
        session = model
    elif callable(model):
        return model
    else:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        source = model if isinstance(model, bytes) else str(model)
        session = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    return lambda feed: list(session.run(None, feed))


def partial(path: Path) -> Path:
    """Return a name to write to before a file gets its own, with the same suffix."""
    return path.with_name(f"partial-{path.name}")
