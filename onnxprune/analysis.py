"""A loaded model together with everything the analysis found out about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import inliner

import onnxprune.rules  # noqa: F401 - registers the rules
from onnxprune.core.cost import Cost, CostModel
from onnxprune.core.dependencies import Dependencies, analyze_graph
from onnxprune.core.graph import build_graph
from onnxprune.core.shapes import Shapes, concretize
from onnxprune.core.steps import SiteTable
from onnxprune.errors import PlanMismatchError
from onnxprune.io import Model, load_model
from onnxprune.runtime.dims import choose_dims
from onnxprune.runtime.inputs import input_specs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from onnxprune.core.graph import Graph
    from onnxprune.core.plan import PrunePlan

_EXTENTS = (None, 224, 256, 320, 512, 640, 128, 48, 32, 1024)
"""Image sizes to try when the default sizes do not fit together (None: the defaults)."""


@dataclass(slots=True)
class Analysis:
    """The analysis of one model.

    Attributes:
        model: the loaded model.
        proto: the model with local functions inlined, weights as stubs.
        deps: labels, coupled groups, reasons.
        dims: probe sizes of the symbolic dimensions, one mapping per setting.
    """

    model: Model
    proto: onnx.ModelProto
    deps: Dependencies
    dims: tuple[dict[str, int], ...]
    _cache: dict[str, object] = field(default_factory=dict)

    @property
    def cost_model(self) -> CostModel:
        """Counts parameters and multiply-accumulates."""
        if "cost" not in self._cache:
            self._cache["cost"] = CostModel(self.deps)
        cost = self._cache["cost"]
        assert isinstance(cost, CostModel)
        return cost

    @property
    def sites(self) -> SiteTable:
        """Axes that have to keep an index."""
        if "sites" not in self._cache:
            self._cache["sites"] = SiteTable(self.deps)
        sites = self._cache["sites"]
        assert isinstance(sites, SiteTable)
        return sites

    def cost(self, removed: NDArray[np.bool_] | None = None) -> Cost:
        """Return the cost of the model, with some labels removed."""
        return self.cost_model.of(removed)

    def removed_labels(self, plan: PrunePlan) -> NDArray[np.bool_]:
        """Return one flag per label for what a plan removes.

        Raises:
            PlanMismatchError: when the plan speaks of groups that this model does not have.
        """
        groups = {g.id: g for g in self.deps.groups}
        atoms: list[int] = []
        for entry in plan.groups:
            group = groups.get(entry.id)
            if group is None or group.size != entry.size:
                seen = "no such group" if group is None else f"a group of {group.size}"
                message = f"the plan removes from group '{entry.id}' of {entry.size}, here is {seen}"
                raise PlanMismatchError(message, hint="make a plan for this model")
            if any(i < 0 or i >= group.size for i in entry.removed):
                message = f"group '{entry.id}' has {group.size} atoms, the plan removes others"
                raise PlanMismatchError(message)
            atoms += [int(group.atoms[i]) for i in entry.removed]
        return self.deps.removed_labels(np.array(atoms, np.int64))


def analyze_model(
    model: Model | str | Path, *, dims: Mapping[str, int] | None = None
) -> Analysis:
    """Load a model if need be and find its coupled groups.

    Args:
        model: a loaded model or the path of one.
        dims: sizes for symbolic dimensions.

    Raises:
        InvalidModelError: the file is not a usable model.
        InvalidConfigError: `dims` names a dimension that there is not.
    """
    if not isinstance(model, Model):
        model = load_model(model)
    proto = model.proto
    if proto.functions:
        proto = inliner.inline_local_functions(proto)
    graph = build_graph(proto)
    settings, shapes = probe(model, proto, graph, dims or {})
    return Analysis(model, proto, analyze_graph(graph, shapes), settings)


def probe(
    model: Model, proto: onnx.ModelProto, graph: Graph, given: Mapping[str, int]
) -> tuple[tuple[dict[str, int], ...], tuple[Shapes, ...]]:
    """Find sizes of the symbolic dimensions at which the graph fits together.

    Returns:
        Two settings of the sizes (one when nothing is symbolic), and the shapes at each.
    """
    specs = input_specs(proto)
    best: tuple[int, tuple[dict[str, int], ...], tuple[Shapes, ...]] | None = None
    for extent in _EXTENTS:
        settings = []
        for number in (0, 1):
            sizes = choose_dims(specs, given, setting=number)
            if extent is not None:
                for spec in specs:
                    for axis in _space(spec.dims or ()):
                        symbol = (spec.dims or ())[axis]
                        if isinstance(symbol, str) and symbol not in given:
                            sizes[symbol] = extent if number == 0 else extent + 32
            settings.append(sizes)
        if settings[0] == settings[1]:
            settings.pop()
        shapes = concretize(graph, model.array, settings)
        bad = sum(bool(s.inconsistent) for s in shapes)
        if best is None or bad < best[0]:
            best = bad, tuple(settings), shapes
        if not bad or not any(_space(s.dims or ()) for s in specs):
            break
    assert best is not None
    return best[1], best[2]


def _space(dims: tuple[int | str, ...]) -> list[int]:
    """Return the symbolic axes of an image input, whatever its layout."""
    if len(dims) != 4:  # noqa: PLR2004
        return []
    return [a for a in (1, 2, 3) if isinstance(dims[a], str)]
