"""Masked equivalence: run both models at several sizes, with and without optimisation."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from onnx import TensorProto
from pydantic import BaseModel, ConfigDict

from onnxprune.analysis.probe import candidates, compared_values
from onnxprune.errors import InvalidModelError, VerificationError, printable
from onnxprune.io import load_model, write_model
from onnxprune.rewrite.mask import masked_model
from onnxprune.runtime.feeds import FeedRecipe
from onnxprune.runtime.inputs import input_specs
from onnxprune.runtime.isolate import run_isolated
from onnxprune.verification.rounding import rounded, without_rounding
from onnxprune.verification.taps import acted_on, behind_saturation, in_front_of, with_outputs

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from onnxprune.analysis import Analysis
    from onnxprune.analysis.probe import Settings
    from onnxprune.core.branches import Branch
    from onnxprune.runtime.compare import Comparison
    from onnxprune.runtime.difference import OutputDifference
    from onnxprune.runtime.feeds import Feed

TIMEOUT_S = 600.0
MEMORY_BYTES = 16 << 30
_STARTING_S = 10.0
_BYTES_PER_S = 5e6
_MACS_PER_S = 1e7
_NODES_PER_S = 50.0
"""Slowest that a dozen loads and runs of a model may be, a hundred times slower than usual."""

TOLERANCE = 2e-4
"""Largest difference of an output relative to its largest value, in single precision."""

COARSE: dict[int, float] = {
    TensorProto.FLOAT16: 1e-2, TensorProto.BFLOAT16: 5e-2, TensorProto.INT8: 2e-2,
    TensorProto.UINT8: 2e-2,
}  # fmt: skip
"""The same where a computed value has a coarser type: sums in another order round differently."""

MOST = 5e-2
"""No noise of the original excuses more than this."""

SMALL = 1e-4
"""Saturated outputs below this are compared absolutely; what is in front of them is not."""

NOISE_FACTOR = 20.0
"""How much more than the original's own difference from itself is permitted."""

GROSS = 1e-2
"""More noise than this in a value inside, multiplied as for outputs, and it is not compared."""

UNSTABLE = 2e-3
"""An original that differs this much from itself (feedback, say) is tried on calmer inputs."""

CALMER = ((0.0, 1.0), (-0.1, 0.1), (0.4, 0.6), (0.9, 1.0), (-0.01, 0.01))
"""Ranges of float inputs to try then."""


class Verification(BaseModel):
    """Outcome of a comparison.

    Attributes:
        exact: whether every output agrees within tolerance.
        sound: whether shapes, types, and the places of NaN and infinity agree at least.
        max_abs: largest difference of any output.
        max_rel: the same, relative to the largest value of the output.
        noise: how much the original differs from itself, relative as well.
        mute: outputs that are one value over and over, or no number, and say nothing.
        numbers: whether anything that was compared is a number at all.
        feeds: number of inputs tried.
        failures: what disagrees, in words.
    """

    model_config = ConfigDict(frozen=True)

    exact: bool
    sound: bool = True
    max_abs: float
    max_rel: float
    noise: float = 0.0
    mute: tuple[str, ...] = ()
    numbers: bool = True
    feeds: int
    failures: list[str] = []


def verify_cut(
    analysis: Analysis,
    removed: NDArray[np.bool_],
    pruned: Path,
    *,
    feeds: Sequence[Feed | FeedRecipe] | None = None,
    progress: Callable[[int, int], None] | None = None,
    workspace: Path | None = None,
    branches: Collection[Branch] = (),
) -> Verification:
    """Compare a pruned file with the masked original.

    Args:
        analysis: the original.
        removed: one flag per label.
        pruned: the written file.
        feeds: inputs to try; synthetic ones at every probe setting by default.
        progress: called with (done, total).
        workspace: directory for the masked original, which is as large as the original.
        branches: residual branches that were removed: the original's output zero there.

    Raises:
        VerificationError: the pruned file does not run, or nothing that is compared is a number.
    """
    masked = masked_model(analysis.proto, analysis.deps, removed, branches)
    hidden, saturated = behind_saturation(analysis.deps)
    if hidden.keys() & {b.node.outputs[0] for b in branches}:  # a sum that is none any more
        hidden, saturated = {}, frozenset()
    with tempfile.TemporaryDirectory(prefix="onnxprune-", dir=workspace) as directory:

        def compared(inner: Mapping[str, int], pairs: Mapping[str, str]) -> Verification:
            taps = {**hidden, **inner}
            reference = Path(directory) / "masked.onnx"
            model = without_rounding(with_outputs(masked, taps), pairs)
            write_model(model, reference, source=analysis.model)
            candidate = pruned
            if taps or pairs:
                written = load_model(pruned)
                candidate = Path(directory) / "pruned.onnx"
                model = without_rounding(with_outputs(written.proto, taps), pairs)
                write_model(model, candidate, source=written)
            tolerance = tolerance_of(analysis, rounding=not pairs)
            if feeds is not None:
                return compare_files(
                    reference, candidate, feeds, tolerance=tolerance, saturated=saturated,
                    inner=inner, cpu_limit_s=patience_s(analysis), progress=progress,
                )  # fmt: skip
            found, _ = _at_runnable_sizes(
                analysis, reference, candidate, progress, tolerance=tolerance, saturated=saturated,
                inner=inner,
            )  # fmt: skip
            return found

        found, pairs = compared({}, {}), rounded(masked)
        if pairs and found.sound and not found.exact:
            found = compared({}, pairs)
        else:
            pairs = {}
        values = acted_on(analysis.deps, removed)
        mute = values.intersection(found.mute, analysis.deps.graph.outputs)
        if found.exact and mute:
            made = {o for n in load_model(pruned).proto.graph.node for o in n.output}
            found = compared(in_front_of(analysis.deps, mute, values & made), pairs)
        if found.exact and mute and not found.numbers:
            message = "no value that could be compared is a number with the inputs that were tried"
            raise VerificationError(message, hint="see whether the original computes numbers")
    complaint = run_isolated(
        "onnxprune.runtime.check:new_complaint",
        {"original": analysis.model.path, "pruned": pruned},
        timeout_s=TIMEOUT_S, memory_limit_bytes=MEMORY_BYTES, task="onnx's checker",
    )  # fmt: skip
    if not complaint:
        return found
    failures = [*found.failures, f"onnx's checker says: {printable(complaint)}"]
    return found.model_copy(update={"exact": False, "sound": False, "failures": failures})


def verify_outputs(
    analysis: Analysis, pruned: Path, *, progress: Callable[[int, int], None] | None = None
) -> Verification:
    """Compare the outputs of a pruned file with those of the original as it is.

    Without knowing what was removed, only shapes, types and finiteness can be judged.
    """
    path, tolerance = analysis.model.path, tolerance_of(analysis)
    return _at_runnable_sizes(analysis, path, pruned, progress, tolerance=tolerance)[0]


def runnable_recipe(analysis: Analysis) -> FeedRecipe:
    """Return how to make inputs up that the original runs on.

    Raises:
        InvalidModelError: it runs at none of the sizes that were tried.
    """
    path, tolerance = analysis.model.path, tolerance_of(analysis)
    return _at_runnable_sizes(analysis, path, path, None, tolerance=tolerance)[1]


def _at_runnable_sizes(
    analysis: Analysis,
    reference: Path,
    pruned: Path,
    progress: Callable[[int, int], None] | None,
    *,
    tolerance: float,
    saturated: Collection[str] = (),
    inner: Collection[str] = (),
) -> tuple[Verification, FeedRecipe]:
    """Try sizes of the symbolic dimensions until the original runs; return how it was fed, too."""
    specs = input_specs(analysis.model.proto)
    tried = [analysis.dims, *candidates(specs, analysis.given)]
    values = compared_values(analysis.deps.graph, analysis.model.array)
    chosen = {name: (float(value), value + 1.0) for name, value in values.items()}
    floats = [s.name for s in specs if s.dtype.kind == "f"]
    # a loop that decides itself when to stop may turn on a difference in the last bit
    loops = any(
        n.op == "Loop" and any(analysis.deps.ctx.shape(o) is None for o in n.outputs if o)
        for n in analysis.deps.graph.nodes
    )
    refusals: list[InvalidModelError] = []
    limit_s = patience_s(analysis)

    def compare(
        settings: Settings, ranges: dict[str, tuple[float, float]]
    ) -> tuple[Verification, FeedRecipe]:
        feeds = [FeedRecipe(specs, d, seed=n, ranges=ranges) for n, d in enumerate(settings)]
        found = compare_files(
            reference, pruned, feeds, tolerance=tolerance, saturated=saturated, inner=inner,
            cpu_limit_s=limit_s, progress=progress,
        )  # fmt: skip
        return found, feeds[0]

    for settings in tried:
        for ranges in ({}, chosen) if chosen else ({},):
            try:
                found, recipe = compare(settings, ranges)
                for calmer in CALMER if floats else ():
                    if found.exact or (found.noise <= UNSTABLE and not loops):
                        break
                    found, recipe = compare(settings, dict.fromkeys(floats, calmer) | ranges)
            except InvalidModelError as error:
                refusals.append(error)
            else:
                return found, recipe
    first = refusals[0]
    alike = len(refusals) > 1 and len({error.message for error in refusals}) == 1
    if alike or not any(analysis.dims):
        raise first  # whatever the sizes: the model cannot be loaded, say
    message = (
        f"the original runs at none of {len(tried)} settings of its dimensions: {first.message}"
    )
    raise InvalidModelError(message, hint="give sizes it runs at with --dims")


def compare_files(
    original: Path,
    pruned: Path,
    feeds: Sequence[Feed | FeedRecipe],
    *,
    tolerance: float = TOLERANCE,
    saturated: Collection[str] = (),
    inner: Collection[str] = (),
    cpu_limit_s: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Verification:
    """Run two files in a child process and judge how far they agree.

    Raises:
        VerificationError: the pruned file cannot be loaded or run.
    """
    comparison: Comparison = run_isolated(
        "onnxprune.runtime.compare:compare_models",
        {"original": original, "pruned": pruned, "feeds": list(feeds)},
        timeout_s=TIMEOUT_S, memory_limit_bytes=MEMORY_BYTES, cpu_limit_s=cpu_limit_s,
        progress=progress, task="verification",
    )  # fmt: skip
    return judge(comparison, tolerance=tolerance, saturated=saturated, inner=inner)


def patience_s(analysis: Analysis) -> float:
    """Return how many seconds of computing all runs of a model of its size may take.

    A loop that never ends is found out by it, whatever the speed and load of the machine.
    """
    nodes = sum(1 for _ in analysis.deps.graph.all_nodes())
    return (
        _STARTING_S + analysis.model.size_bytes / _BYTES_PER_S
        + analysis.cost().macs / _MACS_PER_S + nodes / _NODES_PER_S
    )  # fmt: skip


def tolerance_of(analysis: Analysis, *, rounding: bool = True) -> float:
    """Return what the coarsest element type that a model computes with permits.

    Args:
        analysis: the model.
        rounding: whether it rounds to 8 bits where it says so.
    """
    shapes, parameters = analysis.deps.settings[0], analysis.deps.ctx.parameters
    computed = {d for k, d in shapes.dtypes.items() if k not in parameters}
    coarse = COARSE.keys() - (() if rounding else (TensorProto.INT8, TensorProto.UINT8))
    return max([TOLERANCE, *(COARSE[d] for d in computed & coarse)])


def judge(
    comparison: Comparison,
    *,
    tolerance: float = TOLERANCE,
    saturated: Collection[str] = (),
    inner: Collection[str] = (),
) -> Verification:
    """Turn measured differences into a verdict.

    Args:
        comparison: what was measured.
        tolerance: largest relative difference that passes whatever the original's noise.
        saturated: outputs that values compared beside them stand in front of.
        inner: values compared in place of outputs that say nothing; where one is hardly more than
            what rounding left over, it says nothing either.
    """

    def relative(found: OutputDifference) -> float:
        if found.name in saturated:
            return found.max_abs / max(found.scale, SMALL)
        return found.max_rel

    noise = {d.name: d for d in comparison.noise}
    failures: list[str] = []
    sound, numbers, telling = True, False, set[str]()
    max_abs = max_rel = 0.0
    for level in comparison.levels:
        for found in level.outputs:
            own = noise.get(found.name)
            if found.name in inner and own and NOISE_FACTOR * relative(own) > GROSS:
                continue
            max_abs, max_rel = max(max_abs, found.max_abs), max(max_rel, relative(found))
            telling |= {found.name} if found.telling else set()
            numbers |= found.elements > found.nonfinite
            allowed = max(tolerance, min(MOST, NOISE_FACTOR * relative(own) if own else 0.0))
            reason = _reason(found, own, relative(found), allowed)
            sound &= found.shapes_equal and found.dtypes_equal and not found.nonfinite_mismatches
            if reason:
                mode = "with" if level.optimize else "without"
                failures.append(f"output '{printable(found.name)}' {reason} ({mode} optimisation)")
    return Verification(
        exact=not failures, sound=sound, max_abs=max_abs, max_rel=max_rel,
        noise=max((relative(d) for d in comparison.noise if d.name not in inner), default=0.0),
        mute=tuple(n for n in noise if n not in telling), numbers=numbers,
        feeds=comparison.feeds, failures=failures,
    )  # fmt: skip


def _reason(
    found: OutputDifference, noise: OutputDifference | None, relative: float, allowed: float
) -> str:
    if not found.shapes_equal or not found.dtypes_equal:
        return found.detail or "has another shape or type"
    if found.nonfinite_mismatches:
        return "is NaN or infinite in other places"
    if found.mismatches > (10 * noise.mismatches if noise else 0):
        return f"differs in {found.mismatches} of {found.elements} elements"
    if relative > allowed:
        return f"differs by {relative:.2g} of its largest value, {allowed:.2g} is permitted"
    return ""


def require(verification: Verification, path: Path) -> None:
    """Raise when a comparison failed.

    Raises:
        VerificationError: the pruned file differs.
    """
    if not verification.exact:
        message = (
            f"'{printable(path)}' differs from the masked original: {verification.failures[0]}"
        )
        raise VerificationError(message)
