"""Masked equivalence: run both models at several sizes, with the runtime's optimisation off and on."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from onnxprune.errors import InvalidModelError, VerificationError, printable
from onnxprune.io import load_model, write_model
from onnxprune.probe import candidates
from onnxprune.rewrite.mask import masked_model
from onnxprune.runtime.feeds import FeedRecipe
from onnxprune.runtime.inputs import input_specs
from onnxprune.runtime.isolate import run_isolated
from onnxprune.verify.taps import behind_saturation, with_outputs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from onnxprune.analysis import Analysis
    from onnxprune.runtime.compare import Comparison
    from onnxprune.runtime.difference import OutputDifference
    from onnxprune.runtime.feeds import Feed

TIMEOUT_S = 600.0
MEMORY_BYTES = 16 << 30
TOLERANCE = 2e-4
"""Largest difference of an output relative to its largest value; half precision has more noise."""

NOISE_FACTOR = 20.0
"""How much more than the original's own difference between optimisation levels is permitted."""


class Verification(BaseModel):
    """Outcome of a comparison.

    Attributes:
        exact: whether every output agrees within tolerance.
        max_abs: largest difference of any output.
        max_rel: the same, relative to the largest value of the output.
        feeds: number of inputs tried.
        failures: what disagrees, in words.
    """

    model_config = ConfigDict(frozen=True)

    exact: bool
    max_abs: float
    max_rel: float
    feeds: int
    failures: list[str] = []


def verify_cut(
    analysis: Analysis,
    removed: NDArray[np.bool_],
    pruned: Path,
    *,
    feeds: Sequence[Feed | FeedRecipe] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Verification:
    """Compare a pruned file with the masked original.

    Args:
        analysis: the original.
        removed: one flag per label.
        pruned: the written file.
        feeds: inputs to try; synthetic ones at every probe setting by default.
        progress: called with (done, total).
    """
    masked = masked_model(analysis.proto, analysis.deps, removed)
    hidden = behind_saturation(analysis.deps)
    with tempfile.TemporaryDirectory(prefix="onnxprune-") as directory:
        reference = Path(directory) / "masked.onnx"
        write_model(with_outputs(masked, hidden), reference, source=analysis.model)
        candidate = pruned
        if hidden:
            written = load_model(pruned)
            candidate = Path(directory) / "pruned.onnx"
            write_model(with_outputs(written.proto, hidden), candidate, source=written)
        if feeds is not None:
            return compare_files(reference, candidate, feeds, progress=progress)
        return _at_runnable_sizes(analysis, reference, candidate, progress)


def _at_runnable_sizes(
    analysis: Analysis, reference: Path, pruned: Path, progress: Callable[[int, int], None] | None
) -> Verification:
    """Try sizes of the symbolic dimensions until the original runs at them."""
    specs = input_specs(analysis.model.proto)
    tried = [analysis.dims, *candidates(specs, analysis.given)]
    for number, settings in enumerate(tried):
        feeds = [FeedRecipe(specs, dims, seed=seed) for seed, dims in enumerate(settings)]
        try:
            return compare_files(reference, pruned, feeds, progress=progress)
        except InvalidModelError as error:
            first = error if number == 0 else first
    message = f"the original runs at none of {len(tried)} settings of its dimensions: {first.message}"
    raise InvalidModelError(message, hint="give sizes it runs at with --dims")


def compare_files(
    original: Path,
    pruned: Path,
    feeds: Sequence[Feed | FeedRecipe],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Verification:
    """Run two files in a child process and judge how far they agree.

    Raises:
        VerificationError: the pruned file cannot be loaded or run.
    """
    comparison: Comparison = run_isolated(
        "onnxprune.runtime.compare:compare_models",
        {"original": original, "pruned": pruned, "feeds": list(feeds)},
        timeout_s=TIMEOUT_S, memory_limit_bytes=MEMORY_BYTES, progress=progress,
        task="verification",
    )  # fmt: skip
    return judge(comparison)


def judge(comparison: Comparison) -> Verification:
    """Turn measured differences into a verdict."""
    noise = {d.name: d for d in comparison.noise}
    failures: list[str] = []
    max_abs = max_rel = 0.0
    for level in comparison.levels:
        for found in level.outputs:
            max_abs, max_rel = max(max_abs, found.max_abs), max(max_rel, found.max_rel)
            reason = _reason(found, noise.get(found.name))
            if reason:
                mode = "with" if level.optimize else "without"
                failures.append(f"output '{printable(found.name)}' {reason} ({mode} optimisation)")
    return Verification(
        exact=not failures, max_abs=max_abs, max_rel=max_rel, feeds=comparison.feeds,
        failures=failures,
    )  # fmt: skip


def _reason(found: OutputDifference, noise: OutputDifference | None) -> str:
    if not found.shapes_equal or not found.dtypes_equal:
        return found.detail or "has another shape or type"
    if found.nonfinite_mismatches:
        return "is NaN or infinite in other places"
    if found.mismatches > (10 * noise.mismatches if noise else 0):
        return f"differs in {found.mismatches} of {found.elements} elements"
    tolerance = max(TOLERANCE, NOISE_FACTOR * (noise.max_rel if noise else 0.0))
    if found.max_rel > tolerance:
        return f"differs by {found.max_rel:.2g} of its largest value, {tolerance:.2g} is permitted"
    return ""


def require(verification: Verification, path: Path) -> None:
    """Raise when a comparison failed.

    Raises:
        VerificationError: the pruned file differs.
    """
    if not verification.exact:
        message = f"'{printable(path)}' differs from the masked original: {verification.failures[0]}"
        raise VerificationError(message)
