"""A loaded model together with everything the analysis found out about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

import onnxprune.rules  # noqa: F401 - registers the rules
from onnxprune.analysis.probe import probe
from onnxprune.core.branches import Branch, find_branches
from onnxprune.core.cost import Cost, CostModel
from onnxprune.core.dependencies import Dependencies, analyze_graph
from onnxprune.core.graph import build_graph
from onnxprune.core.registry import RULES, UPDATES
from onnxprune.core.steps import SiteTable
from onnxprune.errors import PlanMismatchError, printable
from onnxprune.io import Model, load_model
from onnxprune.plugins import taking_part
from onnxprune.rewrite.prepare import prepare
from onnxprune.runtime.inputs import input_specs

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    import onnx
    from numpy.typing import NDArray

    from onnxprune.core.plan import PrunePlan


@dataclass(slots=True)
class Analysis:
    """The analysis of one model.

    Attributes:
        model: the loaded model.
        proto: the prepared model (functions inlined, shared vectors copied), weights as stubs.
        deps: labels, coupled groups, reasons.
        dims: probe sizes of the symbolic dimensions, one mapping per setting.
        copies: copied vectors and their originals.
        given: sizes of symbolic dimensions that the user gave.
        coupling: whether consumers of one value lose the same channels.
        forks: the values whose consumers drop channels of their own.
    """

    model: Model
    proto: onnx.ModelProto
    deps: Dependencies
    dims: tuple[dict[str, int], ...]
    copies: dict[str, str] = field(default_factory=dict)
    given: dict[str, int] = field(default_factory=dict)
    coupling: Literal["constrained", "unconstrained"] = "constrained"
    forks: tuple[str, ...] = ()
    _cache: dict[str, object] = field(default_factory=dict)

    @property
    def cost_model(self) -> CostModel:
        """Counts parameters and multiply-accumulates."""
        if "cost" not in self._cache:
            self._cache["cost"] = CostModel(self.deps, self.copies)
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

    @property
    def plugins(self) -> dict[str, str]:
        """Name and version of the plug-ins whose rules took part."""
        entries = (
            table.find(node.op, node.domain, node.since)
            for node in self.deps.graph.all_nodes()
            for table in (RULES, UPDATES)
        )
        return taking_part({e.module for e in entries if e is not None})

    @property
    def branches(self) -> tuple[Branch, ...]:
        """Residual branches that can leave as wholes."""
        if "branches" not in self._cache:
            self._cache["branches"] = find_branches(self.deps)
        branches = self._cache["branches"]
        assert isinstance(branches, tuple)
        return branches

    def cost(self, removed: NDArray[np.bool_] | None = None, *, dead: Collection[int] = ()) -> Cost:
        """Return the cost of the model, with some labels and some nodes removed."""
        if removed is not None or dead:
            return self.cost_model.of(removed, dead=dead)
        if "whole" not in self._cache:
            self._cache["whole"] = self.cost_model.of()
        whole = self._cache["whole"]
        assert isinstance(whole, Cost)
        return whole

    def removed_branches(self, plan: PrunePlan) -> tuple[Branch, ...]:
        """Return the branches that a plan removes.

        Raises:
            PlanMismatchError: when the plan speaks of branches that this model does not have.
        """
        known = {b.id: b for b in self.branches} if plan.branches else {}
        for entry in plan.branches:
            branch = known.get(entry.id)
            seen = None if branch is None else (branch.node.outputs[0], branch.value, branch.nodes)
            if seen != (entry.add, entry.value, tuple(entry.removed)):
                message = (
                    f"the plan removes branch '{printable(entry.id)}', which the model has not"
                )
                message += ", or not so"
                raise PlanMismatchError(message, hint="make a plan for this model")
        return tuple(known[entry.id] for entry in plan.branches)

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
                message = (
                    f"the plan removes from group '{entry.id}' of {entry.size}, here is {seen}"
                )
                raise PlanMismatchError(message, hint="make a plan for this model")
            if any(i < 0 or i >= group.size for i in entry.removed):
                message = f"group '{entry.id}' has {group.size} atoms, the plan removes others"
                raise PlanMismatchError(message)
            atoms += [int(group.atoms[i]) for i in entry.removed]
        return self.deps.removed_labels(np.array(atoms, np.int64))


def analyze_model(model: Model | str | Path, *, dims: Mapping[str, int] | None = None) -> Analysis:
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
    proto, copies = prepare(model.proto)
    graph = build_graph(proto)
    given = dict(dims or {})
    settings, shapes = probe(input_specs(proto), graph, model.array, given)
    return Analysis(model, proto, analyze_graph(graph, shapes), settings, copies, given)
