"""A metric of the user's: a function that runs the model as it likes and returns one number."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxprune.calibration.code import call_entry, check_entry
from onnxprune.errors import InvalidConfigError, printable
from onnxprune.runtime.isolate import run_isolated
from onnxprune.runtime.session import open_session, run_outputs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from onnxprune.runtime.feeds import Array

    Run = Callable[[Mapping[str, Array]], dict[str, Array]]

__all__ = ["check_metric", "measure_metric"]

OPTION = "--metric"


def check_metric(entry: str) -> str:
    """Return the name of a metric, once it has the form of one.

    Raises:
        InvalidConfigError: it is no "module:function".
    """
    return check_entry(entry, option=OPTION)


def measure_metric(entry: str, model: Path, *, threads: int = 1) -> float:
    """Return what a metric of the user's says of a model; higher is better.

    The function is called in a child process that can import from the working directory, with one
    argument: a function that takes a feed (arrays by input) and returns the outputs (arrays by
    output). There is no limit of time, because it is the user's own.

    Args:
        entry: the function, as "module:function".
        model: the model's file.
        threads: threads within an operator.

    Raises:
        InvalidConfigError: there is no such function, it failed, or it returned no finite number.
    """
    found: float = run_isolated(
        "onnxprune.fidelity.metric:in_child",
        {"entry": entry, "model": model, "threads": threads},
        timeout_s=None, memory_limit_bytes=None, task=f"metric {entry}",
    )  # fmt: skip
    return found


def in_child(*, entry: str, model: Path, threads: int) -> float:
    """Do the work of `measure_metric` in this process."""
    session = open_session(model, optimize=True, threads=threads)

    def run(feed: Mapping[str, Array]) -> dict[str, Any]:
        found = run_outputs(session, {name: np.asarray(value) for name, value in feed.items()})
        return {name: v[0] if len(v) == 1 else v for name, v in found.items()}

    value = call_entry(entry, run, option=OPTION)
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        message = f"{OPTION} '{entry}' returned {printable(repr(value), limit=80)}, wanted is a "
        message += "finite number, higher for a better model"
        raise InvalidConfigError(message)
    return number
