"""Score small models written as text, with weights and samples that are given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnx import numpy_helper

from onnxprune.analysis import analyze_model
from onnxprune.criteria import CRITERIA, ScoreContext
from onnxprune.recovery.activity import consumer_stats
from onnxprune.recovery.sites import find_sites
from onnxprune.runtime.gates import LabelGates
from onnxprune.runtime.segment import Program
from onnxprune.runtime.stream import TwinStream
from onnxprune.testing.groups import parse_model

if TYPE_CHECKING:
    from collections.abc import Callable


class Scored:
    """A model, its analysis and what criteria may look at."""

    def __init__(self, path: Any, samples: np.ndarray | None) -> None:
        self.analysis = analysis = analyze_model(path)
        self.context = ScoreContext(
            analysis.deps, analysis.model.array, model_sha256=lambda: analysis.model.sha256
        )
        if samples is not None:
            program = Program(analysis.proto, analysis.model.array)
            feeds = [{"x": samples}]
            parameters = analysis.deps.ctx.parameters
            stats = consumer_stats(
                analysis.deps,
                find_sites(analysis.deps),
                TwinStream(program, feeds),
                lambda key: analysis.model.array(parameters[key].tensor),
            )
            self.context = ScoreContext(
                analysis.deps,
                analysis.model.array,
                consumers=stats,
                gates=lambda: LabelGates(program, analysis.deps, feeds),
            )

    def scores(self, criterion: str, parameter: str, axis: int, **context: Any) -> np.ndarray:
        """Return the score of every index of an axis of a parameter."""
        for group in self.analysis.deps.groups:
            for part in group.slices:
                if (part.parameter, part.axes) == (parameter, (axis,)):
                    given = {f: getattr(self.context, f) for f in ScoreContext.__slots__}
                    found = CRITERIA[criterion](ScoreContext(**(given | context)), group)
                    place = {int(a): i for i, a in enumerate(group.atoms)}
                    return np.array([found[place[r]] for r in part.roots.tolist()])
        raise LookupError(parameter)


@pytest.fixture
def score(tmp_path) -> Callable[..., Scored]:
    """From the text of a graph, samples, and weights by name to what criteria may look at."""

    def make(text: str, samples: np.ndarray | None = None, **weights: np.ndarray) -> Scored:
        model = parse_model(text, opset=17)
        for tensor in model.graph.initializer:
            if tensor.name in weights:
                array = np.asarray(weights[tensor.name], np.float32)
                tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
        path = tmp_path / "model.onnx"
        path.write_bytes(model.SerializeToString())
        return Scored(path, samples)

    return make
