"""Lay out what a plan leaves: which channels stay unread, which copies are made, in which order."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.core.apart import find_producers
from onnxprune.core.layout import Layout, plain_layout
from onnxprune.core.order import best_order
from onnxprune.core.plan import PlanLayout
from onnxprune.core.symmetry import Stream, find_streams
from onnxprune.costs import DefaultCosts
from onnxprune.errors import PlanMismatchError, printable
from onnxprune.planning.latency import LatencyModel
from onnxprune.planning.padding import Padding
from onnxprune.rewrite.selects import operands

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from onnxprune.core.dependencies import Dependencies
    from onnxprune.core.plan import PrunePlan
    from onnxprune.costs import LayerCosts
    from onnxprune.planning.edges import Edge

    Flags = NDArray[np.bool_]
    Arrange = Callable[[int, list[list[int]], list[float]], Sequence[int]]

EFFORT = 5_000
"""Steps of branch and bound for the order of one stream."""


def make_layout(
    deps: Dependencies,
    removed: Flags,
    *,
    max_copies: int | None = None,
    costs: LayerCosts | None = None,
    arrange: Arrange | None = None,
    pad: bool = True,
    enough: Callable[[Layout], bool] | None = None,
) -> Layout:
    """Choose how what remains is laid out, so that the network takes the least time.

    Args:
        deps: the analysis.
        removed: flag per label: what no consumer reads.
        max_copies: most copies that may be added, None for as many as pay.
        costs: what layers and copies cost, by default about that of the CPU provider.
        arrange: finds the order of a stream from its width, the sets that consumers read, and the
            bytes of a channel for each; by default the one with the least bytes copied.
        pad: whether consumers may keep channels that they ignore.
        enough: tells whether a layout, in any order, removes what was asked for; None for any.
    """
    if not deps.hierarchy:
        return plain_layout(deps, removed)
    model = LatencyModel(deps, costs or DefaultCosts())
    streams = find_streams(deps)

    def chosen(cut: Flags) -> Layout:
        joined, apart = (model.joins(cut), model.apart(cut)) if pad else ({}, {})
        layout = replace(plain_layout(deps, removed), cut=cut[deps.roots], joined=frozenset(joined))
        apart_too = replace(layout, apart=frozenset(apart))
        return apart_too if enough is None or enough(apart_too) else layout

    def met(cut: Flags) -> bool:
        return enough is None or enough(chosen(cut))

    padding = Padding(deps, model, removed, enough=met)
    cut = removed
    if pad:
        cut = padding.cheapest(streams)
    if max_copies is not None:
        cut = padding.at_most(cut, max_copies, lambda tried: chosen(tried).apart)
    layout = chosen(cut)
    holds = layout.holds.copy()
    edges = [e for e in model.edges if e.value not in layout.apart]
    for stream in streams:
        order = _order(stream, edges, layout.cut, arrange or _least_bytes)
        if order is not None:
            for places, contents in stream.holds(order):
                holds[places] = contents
    return replace(layout, holds=holds)


def _least_bytes(n: int, sets: list[list[int]], weights: list[float]) -> Sequence[int]:
    return best_order(n, sets, weights, effort=EFFORT).order


def _order(
    stream: Stream, edges: Sequence[Edge], cut: Flags, arrange: Arrange
) -> Sequence[int] | None:
    """Return the order of a stream's columns, None to leave it as it is."""
    wanted: dict[tuple[int, ...], float] = {}
    number = np.full(len(cut), -1)
    number[stream.columns] = np.arange(len(stream.columns))[:, None]
    for edge in edges:
        columns = number[edge.below]
        if not edge.missing(cut).any() or not (columns >= 0).any():
            continue
        own = np.unique(columns[~cut[edge.below]])
        own = own[own >= 0]
        if 0 < len(own) < len(stream.columns):
            key = tuple(own.tolist())
            wanted[key] = wanted.get(key, 0.0) + 4.0 * edge.positions
    if not wanted:
        return None
    order = arrange(len(stream.columns), [list(w) for w in wanted], list(wanted.values()))
    return None if list(order) == sorted(order) else order


def describe_layout(layout: Layout) -> list[PlanLayout]:
    """Return a layout as it stands in a plan: by group, what is kept unread and the order."""
    deps = layout.deps
    found = []
    for name, atoms in _places(deps).items() if deps.hierarchy else ():
        unread = np.flatnonzero(layout.removed[atoms] & ~layout.cut[atoms])
        held = layout.holds[atoms]
        number = {int(a): i for i, a in enumerate(atoms)}
        order = [number[int(a)] for a in held] if (held != atoms).any() else None
        if len(unread) or order is not None:
            found.append(PlanLayout(id=name, unread=unread.tolist(), order=order))
    return found


def read_layout(
    deps: Dependencies,
    removed: Flags,
    plan: PrunePlan,
) -> Layout:
    """Return the layout that stands in a plan, the plain one where there is none.

    Args:
        deps: the analysis.
        removed: flag per label: what no consumer reads.
        plan: the plan.

    Raises:
        PlanMismatchError: it does not fit the model.
    """
    if plan.layout is None:
        return plain_layout(deps, removed)
    joined, apart = frozenset(plan.joined or ()), frozenset(plan.apart or ())
    places = _places(deps)
    cut = removed.copy()
    holds = np.arange(len(deps.roots))
    for entry in plan.layout:
        atoms = places.get(entry.id)
        size = -1 if atoms is None else len(atoms)
        order = entry.order if entry.order is not None else list(range(size))
        if atoms is None or sorted(order) != list(range(size)):
            message = f"the plan lays out group '{printable(entry.id)}', which is not as it says"
            raise PlanMismatchError(message, hint="make a plan for this model")
        if any(i < 0 or i >= size or not removed[atoms[i]] for i in entry.unread):
            message = f"in group '{printable(entry.id)}', `unread` lists what is not removed"
            raise PlanMismatchError(message, hint="make a new plan")
        cut[atoms[np.array(entry.unread, np.int64)]] = False
        holds[atoms] = atoms[np.array(order, np.int64)]
    _check(deps, cut, holds)
    able = {n.outputs[0]: own for n in deps.graph.nodes if (own := operands(deps, n))}
    wrong = [
        f"joins '{printable(v)}', which is no concatenation"
        for v in sorted(joined)
        if v not in able
    ]
    behind = {s.inputs[0] for v in joined for s in able.get(v, {}).values()}
    producers = find_producers(deps).keys() - behind if apart else set()
    wrong += [
        f"writes what makes '{printable(v)}' several times, which is not possible"
        for v in sorted(apart)
        if v not in producers
    ]
    if wrong:
        message = f"the plan {wrong[0]}"
        raise PlanMismatchError(message, hint="the plan was edited; make a new one")
    return Layout(deps, removed, cut[deps.roots], holds, joined, apart)


def _places(deps: Dependencies) -> dict[str, NDArray[np.int64]]:
    """Return all label sets that may be laid out, by group, else by a value that they stand in.

    What stands in no weight is in no group: a value that forks and forks again before it is read.
    """
    assert deps.hierarchy is not None
    found = {g.id: g.atoms for g in deps.groups}
    missing = np.zeros(len(deps.roots), bool)
    missing[deps.hierarchy.above] = missing[deps.hierarchy.below] = True
    missing[np.concatenate([*found.values(), np.zeros(1, np.int64)])] = False
    for key, factors in deps.ctx.factors_of.items():
        own = [deps.roots[f.labels].ravel() for f in factors if len(f.axes) == 1]
        atoms = np.concatenate([*own, np.zeros(0, np.int64)])
        atoms = atoms[np.sort(np.unique(atoms, return_index=True)[1])]
        atoms = atoms[missing[atoms]]
        if len(atoms):
            found[f"value:{key}"] = atoms
            missing[atoms] = False
    return found


def _check(deps: Dependencies, cut: Flags, holds: NDArray[np.int64]) -> None:
    """Refuse layouts that no reading of the model allows.

    Raises:
        PlanMismatchError: with what is wrong.
    """
    assert deps.hierarchy is not None
    problem = ""
    if (cut[deps.hierarchy.above] & ~cut[deps.hierarchy.below]).any():
        problem = "a consumer would keep what its value does not"
    allowed = np.full(len(holds), -1)
    kind = np.full(len(holds), -1)
    for number, stream in enumerate(find_streams(deps)):
        allowed[stream.columns] = number
        kind[stream.columns] = np.arange(stream.columns.shape[1])
        columns = np.full(len(holds), -1)
        columns[stream.columns] = np.arange(len(stream.columns))[:, None]
        moved = columns[holds[stream.columns]]
        if (moved != moved[:, :1]).any():
            problem = "channels would be torn apart"
    moves = holds != np.arange(len(holds))
    if (
        (allowed[moves] < 0).any()
        or (allowed[holds] != allowed).any()
        or (kind[holds] != kind).any()
    ):
        problem = "channels would change places that are not alike"
    if problem:
        message = f"the layout of the plan cannot be right: {problem}"
        raise PlanMismatchError(message, hint="the plan was edited; make a new one")
