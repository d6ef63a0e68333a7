"""The tasks, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.cifar10 import Cifar10
from tasks.digits import Digits
from tasks.effnet import EffNet
from tasks.magika import Magika
from tasks.minilm import MiniLm
from tasks.ppocr import PpOcr
from tasks.silero import SileroSequence, SileroStream

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.base import Task

_ALL: tuple[type[Task], ...] = (
    Cifar10,
    PpOcr,
    EffNet,
    MiniLm,
    SileroSequence,
    SileroStream,
    Magika,
    Digits,
)
TASKS: dict[str, type[Task]] = {task.name: task for task in _ALL}


def load_task(
    name: str, models: Path, *, data: Path | None = None, cache: Path | None = None
) -> Task:
    """Return a task by name, with its files in the given directories."""
    return TASKS[name](models, data=data, cache=cache)
