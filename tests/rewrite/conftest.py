"""Prune a small model written as text, prove it exact, and hand back what was made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from onnxprune.allocation import Target
from onnxprune.analysis import Analysis, analyze_model
from onnxprune.io import load_model, write_model
from onnxprune.planning.selection import Settings, make_plan
from onnxprune.rewrite import rewrite
from onnxprune.rewrite.mask import masked_model
from onnxprune.runtime.compare import compare_models
from onnxprune.runtime.feeds import FeedRecipe
from onnxprune.runtime.inputs import input_specs
from onnxprune.verification.equivalence import judge

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from onnxprune.core.plan import PrunePlan


@dataclass(frozen=True)
class Pruned:
    """A pruned model and how it came about."""

    analysis: Analysis
    plan: PrunePlan
    model: onnx.ModelProto

    def initializer(self, name: str) -> np.ndarray:
        """Return an initializer of the pruned model."""
        return numpy_helper.to_array({t.name: t for t in self.model.graph.initializer}[name])

    def nodes(self, op: str) -> list[onnx.NodeProto]:
        """Return the nodes of one type in the pruned model."""
        return [n for n in self.model.graph.node if n.op_type == op]

    def removed(self, name: str, axis: int) -> list[int]:
        """Return what the plan removes of an axis of an initializer."""
        return [
            i
            for g in self.plan.groups
            for s in g.slices
            if s.initializer == name and s.axis == axis
            for i in s.removed
        ]


def build(text: str, opset: int = 17, ir: int = 8, **weights: Any) -> onnx.ModelProto:
    """Build a model from the text of a graph; weights are arrays, or shapes to fill with noise."""
    model = parser.parse_model(f'<ir_version: {ir}, opset_import: ["" : {opset}]>\n{text}')
    generator = np.random.default_rng(7)
    for name, value in weights.items():
        if isinstance(value, tuple):
            scale = (2.0 / max(1, int(np.prod(value[1:])))) ** 0.5
            value = (generator.standard_normal(value) * scale).astype(np.float32)  # noqa: PLW2901
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return model


@pytest.fixture
def prune_exactly(tmp_path: Path) -> Callable[..., Pruned]:
    """Return a function that prunes a model and fails unless the result is proven right."""

    def prune(model: onnx.ModelProto, ratio: float = 0.5, **settings: Any) -> Pruned:
        source, masked, output = (tmp_path / f"{n}.onnx" for n in ("source", "masked", "pruned"))
        onnx.save(model, source)
        analysis = analyze_model(source)
        plan = make_plan(analysis, Settings(Target("ratio", ratio), **settings))
        removed = analysis.removed_labels(plan)
        cut = rewrite(
            analysis.proto, analysis.model.array, analysis.deps, removed, copies=analysis.copies
        )
        write_model(cut.proto, output, source=analysis.model, arrays=cut.arrays)
        reference = masked_model(analysis.proto, analysis.deps, removed)
        write_model(reference, masked, source=analysis.model)
        specs = input_specs(model)
        feeds = [FeedRecipe(specs, dims, seed=n) for n, dims in enumerate(analysis.dims)]
        unmasked = compare_models(source, masked, feeds=feeds)
        verdict = judge(compare_models(masked, output, feeds=feeds))
        assert verdict.exact, verdict.failures
        assert max(d.max_rel for d in unmasked.levels[0].outputs) > 1e-3, "nothing was masked"
        onnx.checker.check_model(str(output), full_check=True)
        return Pruned(analysis, plan, onnx.load(load_model(output).path))

    return prune
