"""Run models of a single node in ONNX Runtime, or in onnx's reference where that lacks them."""

from __future__ import annotations

import contextlib
import os
import warnings
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from onnxprune.errors import InvalidModelError, ProviderUnavailableError
from onnxprune.runtime.session import open_session, run_outputs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from onnx.reference.op_run import OpRun

    from onnxprune.testing.node_cases import Value

    Outputs = dict[str, list[np.ndarray | None]]
    Engine = Callable[[onnx.ModelProto, Mapping[str, Value]], Outputs]

NEWEST_OPSET = 26
NEWEST_IR = 13
"""Newest versions that ONNX Runtime loads; node definitions rarely differ from the next ones."""


def run_in_runtime(model: onnx.ModelProto, feed: Mapping[str, Value]) -> Outputs:
    """Run a model in ONNX Runtime without optimisation.

    Raises:
        InvalidModelError: it does not load or run.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.ir_version = min(copy.ir_version, NEWEST_IR)
    for entry in copy.opset_import:
        if entry.domain in ("", "ai.onnx"):
            entry.version = min(entry.version, NEWEST_OPSET)
    with quiet_stderr():
        session = open_session(copy.SerializeToString(), optimize=False)
        return run_outputs(session, dict(feed))  # type: ignore[arg-type]  # lists nest in tests


def run_in_reference(
    model: onnx.ModelProto, feed: Mapping[str, Value], *, operators: Sequence[type[OpRun]] = ()
) -> Outputs:
    """Run a model in onnx's own evaluator.

    Args:
        model: the model.
        feed: its inputs.
        operators: operators that onnx does not have.

    Raises:
        InvalidModelError: it does not load or run.
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            evaluator = ReferenceEvaluator(model, new_ops=list(operators) or None)
            values = evaluator.run(None, dict(feed))
        except Exception as error:  # whatever an operator's implementation raises
            message = f"the reference cannot run the model: {error}"
            raise InvalidModelError(message) from error
    names = [o.name for o in model.graph.output]
    return {n: list(_arrays(v)) for n, v in zip(names, values, strict=True)}


def _arrays(value: object) -> Iterator[np.ndarray | None]:
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _arrays(item)
    elif value is None:
        yield None
    else:
        yield np.asarray(value)


ENGINES: tuple[Engine, ...] = (run_in_runtime, run_in_reference)


def first_engine(
    model: onnx.ModelProto, feed: Mapping[str, Value], engines: Sequence[Engine] = ENGINES
) -> tuple[Engine, Outputs] | None:
    """Return the first engine that runs a model, with the outputs; None when there is none."""
    for engine in engines:
        try:
            return engine, engine(model, feed)
        except (InvalidModelError, ProviderUnavailableError, MemoryError):
            continue
    return None


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Swallow what native code writes: ONNX Runtime logs every failure although it raises one."""
    saved = os.dup(2)
    with open(os.devnull, "wb") as nothing:  # noqa: PTH123 - a device, not a path
        os.dup2(nothing.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
