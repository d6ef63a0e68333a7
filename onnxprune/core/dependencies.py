"""Dependency analysis: which slices of which parameters can leave, and must leave together.

The rules run twice. The first run finds where flat axes are split into rows that an operator needs
(heads, convolution groups); the second gives those rows labels of their own, so that whole rows can
leave as well as elements inside rows. Where rows then meet an axis that has none, as where several
query heads share the values of one head, they run once more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np

from onnxprune.core.context import LabelContext
from onnxprune.core.groups import Group, ParameterSlice, build_groups
from onnxprune.core.hierarchy import Hierarchy, build_hierarchy, roots_without_cycles
from onnxprune.core.labels import UnionFind
from onnxprune.core.registry import RULES
from onnxprune.core.returned import freeze_returned_shapes
from onnxprune.core.walk import walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from onnxprune.core.graph import Graph
    from onnxprune.core.labelling import FrozenReason, RowTable
    from onnxprune.core.labels import Factor, Factors, LabelArray
    from onnxprune.core.shapes import Shapes

CARRIERS = ("Identity", "Cast", "DequantizeLinear", "QuantizeLinear")


@dataclass(eq=False)
class Dependencies:
    """The result of the analysis.

    Attributes:
        graph: the analysed graph.
        settings: shapes under every probe setting.
        ctx: labels of every value.
        roots: representative of each label's set.
        frozen: reason by set, for sets that may not leave.
        groups: coupled groups in order of appearance.
        slices: all parameter slices.
        balances: tables [rows, columns] of label sets whose rows must keep equally many.
        hierarchy: what leaves with what, where consumers drop channels of their own.
    """

    graph: Graph
    settings: tuple[Shapes, ...]
    ctx: LabelContext
    roots: LabelArray
    frozen: dict[int, FrozenReason]
    groups: tuple[Group, ...]
    slices: tuple[ParameterSlice, ...]
    balances: tuple[LabelArray, ...] = field(default=())
    hierarchy: Hierarchy | None = None

    def removed_labels(self, atoms: LabelArray) -> NDArray[np.bool_]:
        """Return one flag per label: whether it belongs to an atom, or leaves with them."""
        flags = np.zeros(len(self.roots), bool)
        flags[atoms] = True
        if self.hierarchy:
            flags = self.hierarchy.closed(flags)
        return flags[self.roots]

    @cached_property
    def network(self) -> nx.MultiGraph[tuple[str, int]]:
        """The dependency graph: nodes (value, axis), edges labelled by operator."""
        return dependency_graph(self)


def analyze_graph(
    graph: Graph,
    settings: tuple[Shapes, ...],
    *,
    label_inputs: Callable[[LabelContext], None] | None = None,
) -> Dependencies:
    """Find the coupled groups of a graph whose shapes were concretized.

    Args:
        graph: the graph.
        settings: shapes under every probe setting.
        label_inputs: for a graph cut out of a larger one: gives its inputs labels. Its outputs may
            then lose indices as well.
    """
    conv_groups = _conv_groups(graph)
    ctx = _run(graph, settings[0], None, conv_groups, label_inputs)
    rows = _rows(ctx)
    if rows:
        ctx = _run(graph, settings[0], rows, conv_groups, label_inputs)
    if ctx.asked:
        ctx = _run(graph, settings[0], _rows(ctx), conv_groups, label_inputs)
    return _collect(graph, settings, ctx)


def _run(
    graph: Graph,
    shapes: Shapes,
    rows: RowTable | None,
    conv_groups: dict[str, int],
    label_inputs: Callable[[LabelContext], None] | None,
) -> LabelContext:
    ctx = LabelContext(graph, shapes, rows=rows, conv_groups=conv_groups)
    if label_inputs is not None:
        label_inputs(ctx)
    walk(ctx, graph)
    freeze_returned_shapes(ctx, graph)
    ctx.enter(None)
    for key in graph.outputs if label_inputs is None else ():
        ctx.freeze(ctx.factors(key), f"graph output '{key}'", value=key)
    return ctx


def _conv_groups(graph: Graph) -> dict[str, int]:
    """Find the weights of grouped convolutions, behind casts and quantisation as well."""
    made_by = {o: n for n in graph.all_nodes() for o in n.outputs if o}
    parameters = graph.all_parameters()
    found: dict[str, set[int]] = {}
    for node in graph.all_nodes():
        rule = RULES.find(node.op, node.domain, node.since)
        position = None if rule is None else rule.grouped_weight
        groups = int(node.attribute("group", 1) or 1)
        if position is None or position >= len(node.inputs):
            continue
        key = node.inputs[position]
        while key not in parameters and key in made_by and made_by[key].op in CARRIERS:
            key = made_by[key].inputs[0]
        if key in parameters:
            found.setdefault(key, set()).add(groups)
    return {k: next(iter(g)) for k, g in found.items() if len(g) == 1 and g != {1}}


def _rows(ctx: LabelContext) -> RowTable:
    """Number the rows that the first run met, on every labelled axis they reach."""
    if not ctx.structures:
        return {}
    numbers = UnionFind()
    row_of = np.zeros(len(ctx.row_links), np.int64)
    for table in ctx.structures:
        rows = np.broadcast_to(numbers.fresh(len(table))[:, None], table.shape)
        labels = ctx.row_links.find(table)
        free = table != 0
        labels, rows = labels[free], rows[free]
        before = row_of[labels]
        row_of[labels] = rows
        taken = before > 0
        numbers.unite(before[taken], rows[taken])
        numbers.unite(row_of[labels], rows)
    asked = np.zeros(len(ctx.row_links), np.int64)
    for members in ctx.asked:  # what they are linked with has other rows, or none
        asked[members] = numbers.fresh(1)
    result: RowTable = {}
    for place, labels in ctx.labelled.items():
        own = asked[labels]
        rows = own if own.all() else numbers.find(row_of[ctx.row_links.find(labels)])
        if rows.any():
            result[place] = rows
    return result


def _collect(graph: Graph, settings: tuple[Shapes, ...], ctx: LabelContext) -> Dependencies:
    roots = roots_without_cycles(ctx)
    frozen: dict[int, FrozenReason] = {}
    for labels, reason in ctx.frozen:
        for root in np.unique(roots[labels]).tolist():
            frozen.setdefault(root, reason)
    approximate: dict[int, FrozenReason] = {}
    for labels, reason in ctx.approximated:
        for root in np.unique(roots[labels]).tolist():
            approximate.setdefault(root, reason)
    consumed = np.zeros(len(roots), bool)
    for labels in ctx.consumed:
        consumed[labels] = True
    slices = [
        ParameterSlice(
            key,
            f.axes,
            roots[f.labels],
            f.level,
            _is_consumed(f, factors, consumed),
        )
        for key, factors in ctx.sources.items()
        for f in factors
    ]
    stays = np.zeros(len(roots), bool)
    stays[list(frozen)] = True
    stays[0] = True
    balances = _balances(ctx, roots, stays)
    deps = Dependencies(graph, settings, ctx, roots, frozen, (), tuple(slices), tuple(balances))
    deps.hierarchy = _hierarchy(deps, stays, approximate)
    deps.groups = build_groups(
        deps.slices, balances=deps.balances, follows=deps.hierarchy.follows, stays=stays,
        approximate=approximate,
    )  # fmt: skip
    return deps


def _hierarchy(
    deps: Dependencies, stays: NDArray[np.bool_], approximate: dict[int, FrozenReason]
) -> Hierarchy:
    """Find what leaves with what; what is above something frozen is frozen as well."""

    def flags(roots: Iterable[LabelArray]) -> NDArray[np.bool_]:
        found = np.zeros(len(deps.roots), bool)
        for array in roots:
            found[array] = True
        return found

    held = stays | flags([np.array(list(approximate), np.int64)])
    present = flags(part.roots for part in deps.slices)
    hierarchy = build_hierarchy(
        deps.ctx, deps.roots, held=held, present=present, balanced=flags(deps.balances)
    )
    if hierarchy:
        for reasons in (deps.frozen, approximate):
            _spread(reasons, hierarchy)
        stays[list(deps.frozen)] = True
    return hierarchy


def _spread(reasons: dict[int, FrozenReason], hierarchy: Hierarchy) -> None:
    """Give what lies above some sets their reason."""
    origin = np.full(len(hierarchy.follows), -1)
    origin[list(reasons)] = list(reasons)
    while True:
        new = (origin[hierarchy.below] >= 0) & (origin[hierarchy.above] < 0)
        if not new.any():
            break
        origin[hierarchy.above[new]] = origin[hierarchy.below[new]]
    for root in np.flatnonzero(origin >= 0).tolist():
        reasons.setdefault(root, reasons[int(origin[root])])


def _is_consumed(factor: Factor, factors: Factors, consumed: NDArray[np.bool_]) -> bool:
    """Tell whether an axis is summed over; labels of rows, which many axes share, do not say it."""
    own = next((f for f in factors if f.level == 0 and f.axes == factor.axes), factor)
    return bool(own.labels.size and consumed[own.labels].all())


def _balances(ctx: LabelContext, roots: LabelArray, stays: NDArray[np.bool_]) -> list[LabelArray]:
    unique: dict[bytes, LabelArray] = {}
    for factor in ctx.balances.values():
        table = roots[factor.labels].reshape(-1, factor.labels.shape[-1])
        if not stays[table].all():
            table = _unique_rows(table)
            unique.setdefault(repr(table.shape).encode() + table.tobytes(), table)
    return [t for t in unique.values() if len(t) > 1]


def _unique_rows(table: LabelArray) -> LabelArray:
    """Return the distinct rows, sorted; unlike NumPy's, fast for long rows."""
    if (table == table[:1]).all():
        return table[:1]
    # big-endian bytes of numbers from zero sort as the numbers do
    rows = sorted({row.tobytes() for row in table.astype(">i8")})
    return np.frombuffer(b"".join(rows), ">i8").reshape(len(rows), -1).astype(np.int64)


def dependency_graph(deps: Dependencies) -> nx.MultiGraph[tuple[str, int]]:
    """Build the graph of (value, axis) nodes that operators relate.

    Parameters and values are nodes with the size of the axis and the ids of the groups that run
    along it; an edge carries the name and type of the operator that relates two axes.
    """
    group_of = {int(a): g.id for g in deps.groups for a in g.atoms}
    graph: nx.MultiGraph[tuple[str, int]] = nx.MultiGraph()

    def axes_of(key: str) -> dict[tuple[str, int], set[int]]:
        found: dict[tuple[str, int], set[int]] = {}
        for factor in deps.ctx.factors_of.get(key, ()):
            members = set(np.unique(deps.roots[factor.labels]).tolist()) & group_of.keys()
            for axis in factor.axes if members else ():
                found.setdefault((key, axis), set()).update(members)
        return found

    for node in deps.graph.all_nodes():
        places = {}
        for key in dict.fromkeys((*node.inputs, *node.outputs)):
            places.update(axes_of(key) if key else {})
        listed = list(places.items())
        for place, members in listed:
            groups = sorted({group_of[m] for m in members})
            graph.add_node(
                place, value=place[0], axis=place[1], groups=" ".join(groups),
                parameter=place[0] in deps.ctx.parameters,
            )  # fmt: skip
        for i, (place, members) in enumerate(listed):
            for other, others in listed[i + 1 :]:
                if members & others:
                    graph.add_edge(place, other, op=node.op, node=node.name)
    return graph
