"""Prune random graphs and compare with the masked original: the whole pipeline, seed by seed.

Run many seeds with `python -m onnxprune.testing.fuzz FIRST LAST [COUPLING]`; it prints one line per
failure and a count of outcomes, and exits with 1 when a seed failed.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx

from onnxprune.allocation import Target
from onnxprune.analysis import analyze_model
from onnxprune.analysis.expansion import couple
from onnxprune.core.apart import find_producers
from onnxprune.core.cuts import Cuts
from onnxprune.core.steps import Limits
from onnxprune.costs import DefaultCosts
from onnxprune.errors import InvalidModelError, NothingToPruneError, PlanMismatchError
from onnxprune.io import write_model
from onnxprune.planning.layouts import make_layout
from onnxprune.planning.selection import Settings, make_plan
from onnxprune.rewrite import rewrite
from onnxprune.rewrite.mask import masked_model
from onnxprune.rewrite.selects import operands
from onnxprune.runtime.compare import compare_models
from onnxprune.testing.random_graphs import feeds, random_model
from onnxprune.verification.equivalence import MOST, judge, tolerance_of

if TYPE_CHECKING:
    from onnxprune.analysis import Analysis
    from onnxprune.core.layout import Layout

RATIOS = (0.25, 0.5, 0.75)


def check_seed(seed: int, directory: Path, coupling: str = "constrained") -> str:
    """Prune one random model.

    Args:
        seed: seed of the graph, the criterion and the ratio.
        directory: where files may be written.
        coupling: `constrained` or `unconstrained`; the latter with copies of random costs.

    Returns:
        "exact", "nothing" (no group could leave), "refused" (the cut could not be written),
        "unrunnable" or "unstable" (the original itself does not run, or differs from itself).

    Raises:
        AssertionError: the pruned model differs from the masked original.
    """
    model = random_model(seed)
    source = directory / f"{seed}.onnx"
    onnx.save(model, source)
    analysis = couple(analyze_model(source), coupling)
    try:
        removed = _choose(analysis, seed)
        layout = _lay_out(analysis, removed, seed)
        rewritten = rewrite(
            analysis.proto, analysis.model.array, analysis.deps, layout, copies=analysis.copies
        )
    except NothingToPruneError:
        return "nothing"
    except PlanMismatchError:
        return "refused"
    pruned, masked = directory / f"{seed}.pruned.onnx", directory / f"{seed}.masked.onnx"
    write_model(rewritten.proto, pruned, source=analysis.model, arrays=rewritten.arrays)
    write_model(masked_model(analysis.proto, analysis.deps, removed), masked, source=analysis.model)
    inputs = [feeds(model, seed, setting=setting) for setting in (0, 1)]
    try:
        comparison = compare_models(masked, pruned, feeds=inputs)
    except InvalidModelError:  # the runtime's optimiser refuses the original
        return "unrunnable"
    verdict = judge(comparison, tolerance=tolerance_of(analysis))
    if not verdict.exact and verdict.noise > MOST:
        return "unstable"
    assert verdict.exact, f"seed {seed}: {verdict.failures}"
    return "exact"


def _choose(analysis: Analysis, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    settings = Settings(
        Target("ratio", float(generator.choice(RATIOS))),
        criterion=str(generator.choice(["random", "l2"])),
        allow_approximate=False,
        limits=Limits(align=int(generator.choice([1, 1, 2]))),
        seed=seed,
    )
    return analysis.removed_labels(make_plan(analysis, settings))


def _lay_out(analysis: Analysis, removed: np.ndarray, seed: int) -> Layout:
    generator = np.random.default_rng((seed, 1))
    copies = (None, None, 0, 2)[int(generator.integers(4))]
    price = float(generator.choice([0.01, 1.0, 100.0]))
    costs = DefaultCosts(macs_per_us=1e5 / price, depthwise_macs_per_us=6e4 / price)
    layout = make_layout(analysis.deps, removed, max_copies=copies, costs=costs)
    return _otherwise(layout, generator) if generator.random() < 0.5 else layout


def _otherwise(layout: Layout, generator: np.random.Generator) -> Layout:
    """Write at any places, by chance, something else than copies."""
    deps = layout.deps
    concats = {n.outputs[0]: operands(deps, n) for n in deps.graph.nodes if operands(deps, n)}
    joined = [v for v in concats if generator.random() < 0.5]
    behind = {s.inputs[0] for v in joined for s in concats[v].values()}
    cuts = Cuts(deps.ctx, layout.slots, deps.settings[0])
    able = {v for v, p in find_producers(deps).items() if all(p.wanted(cuts).values())}
    return replace(layout, joined=frozenset(joined), apart=frozenset(able - behind))


def main(first: int, last: int, coupling: str = "constrained") -> int:
    """Check seeds from `first` up to but without `last`; returns the exit code."""
    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for seed in range(first, last):
            try:
                outcomes[check_seed(seed, directory, coupling)] += 1
            except Exception as error:  # noqa: BLE001 - every failure is a finding
                outcomes["failed"] += 1
                text = str(error).replace("\n", " ")[:300]
                sys.stdout.write(f"seed {seed}: {type(error).__name__}: {text}\n")
                sys.stdout.flush()
            for file in directory.iterdir():
                file.unlink()
    sys.stdout.write(f"{dict(outcomes)}\n")
    return 1 if outcomes["failed"] else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]))
