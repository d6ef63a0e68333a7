"""The tasks, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.cifar10 import Cifar10
from tasks.ppocr import PpOcr

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.base import Task

TASKS: dict[str, type[Task]] = {task.name: task for task in (Cifar10, PpOcr)}


def load_task(
    name: str, models: Path, *, data: Path | None = None, cache: Path | None = None
) -> Task:
    """Return a task by name, with its files in the given directories."""
    return TASKS[name](models, data=data, cache=cache)
