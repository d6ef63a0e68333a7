"""The unconstrained analysis of a model: consumers of one value drop channels of their own.

It is the ordinary analysis of a graph with Selects at every place where a value forks towards
different consumers. A fork stays as it was where its readers meet again anyway (an activation made
of several operators), and where something that reads it could not ignore a channel that is still
there: a sum without weights, or a product of two computed values. A reader that computes next to
nothing for what another one reads (squeeze-excitation, which reads means of channels and weighs
them) drops the channels that the other drops: its own choice would keep more of them alive, and
they would be weighed for nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.analysis import Analysis
from onnxprune.core.dependencies import analyze_graph
from onnxprune.core.graph import build_graph
from onnxprune.core.hierarchy import read_at
from onnxprune.core.macs import macs_by_node
from onnxprune.core.selects import roots_along, selects
from onnxprune.core.shapes import concretize
from onnxprune.core.walk import captures
from onnxprune.errors import PlanMismatchError
from onnxprune.rewrite.expand import Fork, insert_selects

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import onnx
    from numpy.typing import NDArray

    from onnxprune.core.dependencies import Dependencies
    from onnxprune.core.graph import Node

    Flags = NDArray[np.bool_]

Uses = list[tuple[int, int]]

_FLOATS = (1, 10, 11, 16)
"""Element types of weights in which zero is zero: float, float16, double, bfloat16."""

_MOVES = ("Identity", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten")
"""Operators that a weight may go through before it is read."""

_NOTHING = 0.1
"""Share of another reader's multiply-accumulates up to which one follows that reader.

All that is computed on the way to it counts.
"""


def couple(analysis: Analysis, coupling: str, values: Collection[str] | None = None) -> Analysis:
    """Return the analysis for a coupling; one that consumers are free in already stays as it is.

    Args:
        analysis: an analysis.
        coupling: `constrained` or `unconstrained`.
        values: names of the values that may fork, None for all.

    Raises:
        PlanMismatchError: `values` names what cannot fork, or an unconstrained analysis is given
            where a constrained one is wanted.
    """
    if coupling == analysis.coupling == "constrained":
        return analysis
    if coupling == "constrained":
        message = "the analysis is unconstrained, a constrained one is wanted"
        raise PlanMismatchError(message, hint="analyse the model anew")
    found = expand(analysis, values=values) if analysis.coupling == "constrained" else analysis
    if values is not None and found.forks != tuple(values):
        message = f"the plan lets {len(values)} values fork, here {len(found.forks)} can"
        raise PlanMismatchError(message, hint="make a plan for this model")
    return found


def expand(analysis: Analysis, *, values: Collection[str] | None = None) -> Analysis:
    """Return the unconstrained analysis of a model.

    Args:
        analysis: the constrained one.
        values: names of values that may fork, None for all.
    """
    forks = [f for f in _forks(analysis.deps) if values is None or f.value in values]
    while True:  # until the values that fork are those that these values give: plans name them
        found = _expanded(analysis, forks)
        left = [f for f in forks if f.value in found.forks]
        if left == forks:
            return found
        forks = left


def _expanded(analysis: Analysis, forks: list[Fork]) -> Analysis:
    while True:
        found = _analyzed(analysis, insert_selects(analysis.proto, forks))
        useful = _useful(found.deps, forks)
        if useful == forks:
            found.coupling, found.forks = "unconstrained", tuple(f.value for f in forks)
            return found
        forks = useful


def _analyzed(analysis: Analysis, proto: onnx.ModelProto) -> Analysis:
    graph = build_graph(proto)
    shapes = concretize(graph, analysis.model.array, [dict(d) for d in analysis.dims])
    return Analysis(
        analysis.model, proto, analyze_graph(graph, shapes), analysis.dims, analysis.copies,
        analysis.given,
    )  # fmt: skip


def _forks(deps: Dependencies) -> list[Fork]:
    """List the values with channels that several nodes read."""
    uses: dict[str, Uses] = {}
    others = {*deps.graph.outputs}
    for node in deps.graph.nodes:
        others |= captures(node)
        if node.op in ("Shape", "Size") and not node.domain:
            continue
        for position, key in enumerate(node.inputs):
            if key and key not in deps.ctx.constants:
                uses.setdefault(key, []).append((node.index, position))
    summed = np.zeros(len(deps.roots), bool)
    for labels in deps.ctx.consumed:
        summed[deps.roots[labels]] = True
    summed[0] = False
    forks = []
    for key, places in uses.items():
        if len(places) + (key in others) < 2:
            continue
        axes = [
            f.axes[0]
            for f in deps.ctx.factors_of.get(key, ())
            if len(f.axes) == 1 and not f.level and summed[deps.roots[f.labels]].any()
        ]
        if axes:
            forks.append(Fork(key, axes[0], tuple((place,) for place in places)))
    return forks


def _useful(deps: Dependencies, forks: list[Fork]) -> list[Fork]:
    """Join uses that lose the same channels, and leave out forks that cannot or need not be."""
    assert deps.hierarchy is not None
    unable = _unable(deps)
    idle = deps.hierarchy.idle
    outputs: dict[str, list[str]] = {}
    for node in selects(deps):
        outputs.setdefault(node.inputs[0], []).append(node.outputs[0])
    read = {*deps.graph.outputs}.union(*(captures(n) for n in deps.graph.nodes))
    macs_of = macs_by_node(deps.graph, deps.settings[0])
    work = _work(deps, macs_of)
    kept = []
    for fork in forks:
        together: dict[bytes, _Use] = {}
        possible = True
        for places, output in zip(fork.uses, outputs[fork.value], strict=True):
            roots = roots_along(deps, output, fork.axis)
            possible &= roots is not None
            if roots is not None:
                # What is above stays where this does: who reads it there must ignore it as well.
                here = np.zeros(len(unable), bool)
                here[roots] = True
                possible &= not (unable & deps.hierarchy.upwards(here)).any()
                shown = np.where(idle[roots], -1, roots)
                macs = int(work[deps.hierarchy.downwards(here)].max(initial=0))
                use = together.setdefault(shown.tobytes(), _Use([], [], macs))
                use.places.extend(places)
                use.outputs.append(output)
        uses = _leading(deps, list(together.values()), macs_of) if possible else []
        if len(uses) + (fork.value in read) > 1:
            kept.append(Fork(fork.value, fork.axis, tuple(tuple(u.places) for u in uses)))
    return kept


@dataclass(frozen=True, slots=True, eq=False)
class _Use:
    """Places that lose the same channels of a value.

    Attributes:
        places: as (number of the node, input).
        outputs: what their Selects give them.
        macs: multiply-accumulates of what sums over those channels next.
    """

    places: list[tuple[int, int]]
    outputs: list[str]
    macs: int


def _leading(deps: Dependencies, uses: list[_Use], macs_of: Mapping[str, int]) -> list[_Use]:
    """Return uses that choose, with the places of those that follow: see above."""
    found = list(uses)
    for use in sorted(uses, key=lambda use: use.macs):
        heavy = [u for u in found if 0 < use.macs <= _NOTHING * u.macs]
        ways = [_way(deps, use.outputs, u.outputs, macs_of) for u in heavy]
        followed = [
            u
            for u, way in zip(heavy, ways, strict=True)
            if way is not None and way <= _NOTHING * u.macs
        ]
        if followed:
            max(followed, key=lambda use: use.macs).places.extend(use.places)
            found.remove(use)
    return found


def _way(
    deps: Dependencies, start: Collection[str], read: Collection[str], macs_of: Mapping[str, int]
) -> int | None:
    """Return the multiply-accumulates from some values to a node that reads one of others.

    None where what is computed from them goes to no such node.
    """
    ends = {n.index for n in deps.graph.nodes if not n.domain and set(read) & {*n.inputs}}
    reached, macs = set(start), 0
    for node in deps.graph.nodes[: max(ends, default=-1) + 1]:
        if reached & {*node.inputs}:
            if node.index in ends:
                return macs
            reached.update(node.outputs)
            macs += macs_of.get(node.name, 0)
    return None


def _work(deps: Dependencies, macs_of: Mapping[str, int]) -> NDArray[np.int64]:
    """Return the multiply-accumulates of all that sums over a label set, by set."""
    work = np.zeros(len(deps.roots), np.int64)
    for contraction in deps.ctx.contractions:
        work[read_at(deps.ctx, deps.roots, contraction)] += macs_of.get(contraction.node.name, 0)
    work[0] = 0
    return work


def _unable(deps: Dependencies) -> Flags:
    """Return label sets that something reads which cannot ignore a channel that is there.

    To ignore a channel a consumer gets zeros into its weight, which must be one of its own.
    """
    made_by = {o: n for n in deps.graph.nodes for o in n.outputs if o}
    present = np.zeros(len(deps.roots), bool)
    weights: dict[str, Flags] = {}
    for part in deps.slices:
        present[part.roots] = True
        parameter = deps.ctx.parameters.get(part.parameter)
        if part.consumed and parameter is not None and parameter.dtype in _FLOATS:
            flags = weights.setdefault(part.parameter, np.zeros(len(deps.roots), bool))
            flags[part.roots] = True
    unable = np.zeros(len(deps.roots), bool)
    for contraction in deps.ctx.contractions:
        read = read_at(deps.ctx, deps.roots, contraction)
        able = np.zeros(len(read), bool)
        for position, key in enumerate(contraction.node.inputs):
            weight = weights.get(_origin(key, made_by))
            if position != contraction.position and weight is not None:
                able |= weight[read]
        unable[read[~able]] = True
    for labels, _ in deps.ctx.approximated:
        roots = deps.roots[labels]
        unable[roots[~present[roots]]] = True
    unable[0] = False
    return unable


def _origin(key: str, made_by: Mapping[str, Node]) -> str:
    """Follow a value back through what only moves it."""
    while key in made_by and made_by[key].op in _MOVES and not made_by[key].domain:
        key = made_by[key].inputs[0]
    return key
