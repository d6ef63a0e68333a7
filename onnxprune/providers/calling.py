"""Call functions that run models, in child processes and where files that appear do no harm."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxprune.providers.interpreter import call_in
from onnxprune.targets import Interpreter, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from onnxprune.providers.spec import ProviderSpec

__all__ = ["call_on"]

_PATHS = ("model", "models")
_SCRATCH = "onnxprune.providers.scratch:in_scratch_directory"


def call_on(  # as call_in
    spec: ProviderSpec,
    target: str,
    kwargs: Mapping[str, Any],
    *,
    python: Path | Target | None = None,
    timeout_s: float,
    memory_limit_bytes: int | None,
    progress: Callable[[int, int], None] | None = None,
    task: str | None = None,
) -> Any:  # noqa: ANN401  # what the target returns
    """Call a function that runs models on a provider, see `call_in`.

    A provider that is known to write files does so in a directory that is removed afterwards.

    Args:
        spec: The provider, which the function gets as its keyword argument `spec`.
        target: What to call, as "package.module:function".
        kwargs: Its other keyword arguments; `model` and `models` are paths.
        python: The interpreter, here or elsewhere; None for this one.
        timeout_s: Seconds that it may take.
        memory_limit_bytes: Memory that it may take; None for no limit.
        progress: Called with (done, total).
        task: What the call is for.

    Raises:
        ProviderUnavailableError: The interpreter does not start, or lacks what is needed.
        Exception: What the function raised.
    """
    given = {"spec": spec, **kwargs}
    if spec.facts.writes_files:
        if not isinstance(python, Target) or isinstance(python, Interpreter):
            given["spec"] = replace(spec, given={k: _whole(v) for k, v in spec.given.items()})
        given |= {k: _absolute(v) for k, v in kwargs.items() if k in _PATHS}
        given = {"target": target, "kwargs": given}
        target = _SCRATCH
    return call_in(
        python, target, given, timeout_s=timeout_s, memory_limit_bytes=memory_limit_bytes,
        progress=progress, task=task,
    )  # fmt: skip


def _absolute(value: Any) -> Any:  # noqa: ANN401  # a path, or some
    if isinstance(value, list | tuple):
        return [_absolute(one) for one in value]
    return str(Path(value).absolute())


def _whole(value: str) -> str:
    """Return an option of a provider; a path to something that exists is made absolute."""
    return str(Path(value).absolute()) if os.sep in value and Path(value).exists() else value
