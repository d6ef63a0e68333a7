"""Measure layers, each in a model of its own. Runs in a child process."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.costs.layer import Copy
from onnxprune.costs.onelayer import AROUND, NODE, make_model
from onnxprune.errors import InvalidModelError, ProviderUnavailableError
from onnxprune.providers.placement import read_kernels
from onnxprune.providers.session import SessionSettings, open_on, require_still_on
from onnxprune.runtime.session import run_outputs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from onnxprune.costs.layer import Layer
    from onnxprune.providers.spec import ProviderSpec

__all__ = ["measure_layers"]

_WARM = 2
_LEAST, _MOST = 5, 60
_EACH_S = 0.03
"""How long an operator runs, its least number of runs permitting."""


def measure_layers(
    items: Sequence[Layer | Copy],
    spec: ProviderSpec,
    *,
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> list[float | None]:
    """Return microseconds of one run of each, None for what the provider does not take.

    On a CPU, it is the time of the operator's own kernel by the runtime's profile: what a runtime
    puts around a single operator (other layouts) is between layers in a whole network. A copy
    between convolutions is what makes it put some there, and their time is the copy's. Elsewhere a
    profile sees when work was started, not when it was done, and the time of a run counts.

    Args:
        items: layers and copies.
        spec: the provider.
        threads: threads within an operator.
        progress: called with (done, total).
    """
    found: list[float | None] = []
    with tempfile.TemporaryDirectory(prefix="onnxprune-") as folder:
        path = Path(folder) / "layer.onnx"
        for item in items:
            model = make_model(item)
            path.write_bytes(model.SerializeToString())
            feed = {
                i.name: np.ones([d.dim_value for d in i.type.tensor_type.shape.dim], item.dtype)
                for i in model.graph.input
            }
            try:
                around = AROUND if isinstance(item, Copy) else frozenset()
                found.append(_measure(path, spec, feed, threads, around))
            except (InvalidModelError, ProviderUnavailableError):
                found.append(None)
            if progress is not None:
                progress(len(found), len(items))
    return found


def _measure(
    path: Path,
    spec: ProviderSpec,
    feed: dict[str, np.ndarray],
    threads: int,
    around: frozenset[str],
) -> float:
    profiled = spec.facts.device == "cpu"
    prefix = str(path.with_name("profile")) if profiled else ""
    session = open_on(spec, path, SessionSettings(threads=threads, profile_prefix=prefix))
    for _ in range(_WARM):
        run_outputs(session, feed)
    require_still_on(spec, session)
    times: list[float] = []
    end = time.monotonic() + _EACH_S
    while len(times) < _LEAST or (len(times) < _MOST and time.monotonic() < end):
        start = time.perf_counter()
        session.run(None, feed)
        times.append((time.perf_counter() - start) * 1e6)
    if not profiled:
        return float(np.quantile(times, 0.25))
    profile = Path(session.end_profiling())
    kernels = read_kernels(profile, runs=len(times) + _WARM)
    profile.unlink()
    if around:
        return sum(k.us for k in kernels if k.op not in around)
    own = [k.us for k in kernels if NODE in k.name]
    return sum(own or (k.us for k in kernels))
