"""Gather label sets that come from the same axes of parameters into groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from onnxprune.core.labelling import FrozenReason
    from onnxprune.core.labels import LabelArray


@dataclass(frozen=True, slots=True, eq=False)
class ParameterSlice:
    """One label array of a parameter, as sets of labels.

    Attributes:
        parameter: key of the parameter.
        axes: its axes; two where rows of one axis lose different indices of the other.
        roots: the set of each index.
        level: 0 for elements, 1 for rows.
        consumed: whether an operator sums over the axis.
    """

    parameter: str
    axes: tuple[int, ...]
    roots: LabelArray
    level: int
    consumed: bool


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Atoms that come from the same parameter axes and are chosen among one another.

    Attributes:
        id: stable name within the model.
        atoms: sets of labels, the smallest things that can leave.
        slices: parameter slices that hold any of them.
        level: 0 for elements, 1 for whole rows.
        exact: whether removal equals zeroing what consumes the atoms.
        reason: why it is not exact.
        balances: tables [rows, columns] of label sets whose rows must keep equally many.
        component: number of the connected component of the dependency graph.
        follows: whether its atoms leave when nobody reads them any more, and are not chosen.
    """

    id: str
    atoms: LabelArray
    slices: tuple[ParameterSlice, ...]
    level: int
    exact: bool
    reason: str
    balances: tuple[LabelArray, ...]
    component: int
    follows: bool = False

    @property
    def size(self) -> int:
        """Number of atoms."""
        return len(self.atoms)


def _unique_pairs(first: LabelArray, second: LabelArray) -> tuple[LabelArray, LabelArray]:
    """Return the distinct pairs of numbers, sorted (-1 and above in `first`, 0 in `second`)."""
    base = int(second.max(initial=0)) + 1
    codes = np.sort(first * base + second)  # much faster here than np.unique, which hashes
    left, right = np.divmod(codes[np.diff(codes, prepend=codes[:1] - 1) != 0], base)
    return left, right


_Kind = tuple[int, bool, bool, bool]
"""What the atoms of a group share: origin, whether rows, approximate, following others."""


@dataclass(frozen=True, slots=True)
class _Members:
    """Pairs of a removable label set and a slice that holds it."""

    roots: LabelArray
    slices: LabelArray
    order: LabelArray


def _members(parts: Sequence[ParameterSlice], stays: NDArray[np.bool_]) -> _Members:
    roots, slices, order = [], [], []
    start = 0
    for number, part in enumerate(parts):
        found, first = np.unique(part.roots, return_index=True)
        free = ~stays[found]
        roots.append(found[free])
        slices.append(np.full(int(free.sum()), number))
        order.append(start + first[free])
        start += part.roots.size
    empty = [np.zeros(0, np.int64)]
    return _Members(*(np.concatenate(x or empty) for x in (roots, slices, order)))


def build_groups(
    slices: Sequence[ParameterSlice],
    *,
    balances: Sequence[LabelArray],
    follows: NDArray[np.bool_],
    stays: NDArray[np.bool_],
    approximate: Mapping[int, FrozenReason],
) -> tuple[Group, ...]:
    """Gather atoms by the parameter axes that produce them.

    Args:
        slices: all parameter slices.
        balances: tables [rows, columns] of label sets whose rows must keep equally many.
        follows: flag per label: sets that leave when nobody reads them any more.
        stays: flag per label: sets that may not leave.
        approximate: why removal is not exact, by set.
    """
    members = _members(slices, stays)
    count = len(stays)
    consumed = np.array([p.consumed for p in slices], bool)
    is_row = np.zeros(count, bool)
    level = np.array([p.level for p in slices], np.int64)
    is_row[members.roots[level[members.slices] > 0]] = True
    produced = ~consumed[members.slices]
    has_producer = np.zeros(count, bool)
    has_producer[members.roots[produced]] = True
    counts = produced | ~has_producer[members.roots]
    signature = _signatures(slices, members, counts, count)
    inexact = np.zeros(count, bool)
    inexact[list(approximate)] = True
    first = np.full(count, np.iinfo(np.int64).max)
    late = np.where(counts, 0, np.int64(1) << 60)
    np.minimum.at(first, members.roots, members.order + late)
    atoms = np.unique(members.roots)
    atoms = atoms[np.lexsort((atoms, first[atoms]))]
    buckets: dict[_Kind, int] = {}
    bucket_of = np.full(count, -1)
    for atom in atoms.tolist():
        flags = bool(is_row[atom]), bool(inexact[atom]), bool(follows[atom])
        key = (int(signature[atom]), *flags)
        bucket_of[atom] = buckets.setdefault(key, len(buckets))
    _join_lone_rows(slices, members, counts, bucket_of, list(buckets))
    by_bucket = [atoms[bucket_of[atoms] == n] for n in range(len(buckets))]
    parts = _unique_pairs(bucket_of[members.roots], members.slices)
    tables: list[list[LabelArray]] = [[] for _ in buckets]
    for table in balances:
        for number in np.unique(bucket_of[table]).tolist():
            if number >= 0:
                tables[number].append(table)
    component = _components(members)
    groups: list[Group] = []
    for number, (_, rows, approximates, follow) in enumerate(buckets):
        own = by_bucket[number]
        if not len(own):
            continue
        reason = approximate[int(own[0])] if approximates else None
        chosen = parts[1][parts[0] == number]
        groups.append(
            Group(
                f"g{len(groups)}",
                own,
                tuple(slices[n] for n in chosen),
                int(rows),
                not approximates,
                f"{reason.node}: {reason.reason}" if reason else "",
                tuple(tables[number]),
                component[int(chosen[0])],
                follow,
            )
        )
    return tuple(groups)


def _join_lone_rows(
    slices: Sequence[ParameterSlice],
    members: _Members,
    counts: NDArray[np.bool_],
    bucket_of: LabelArray,
    buckets: Sequence[_Kind],
) -> None:
    """Move a row that is alone to others from the same parameters, or from more of them.

    Rows that cross a joint (a normalisation over concatenated channels) come from one parameter
    more than their neighbours.
    """
    sizes = np.bincount(bucket_of[bucket_of >= 0], minlength=len(buckets))
    lone = [n for n, (_, rows, _, _) in enumerate(buckets) if rows and sizes[n] == 1]
    if not lone:
        return
    producers: dict[int, set[tuple[str, tuple[int, ...]]]] = {}
    for root, number in zip(members.roots[counts], members.slices[counts], strict=True):
        part = slices[number]
        if buckets[bucket_of[root]][1]:
            producers.setdefault(int(bucket_of[root]), set()).add((part.parameter, part.axes))
    for number in lone:
        mine = producers[number]
        for other, theirs in producers.items():
            alike = buckets[other][1:] == buckets[number][1:] and sizes[other]
            if other != number and alike and (mine <= theirs or theirs <= mine):
                sizes[other], sizes[number] = sizes[other] + sizes[number], 0
                bucket_of[bucket_of == number] = other
                break


def _signatures(
    slices: Sequence[ParameterSlice], members: _Members, counts: NDArray[np.bool_], size: int
) -> NDArray[np.uint64]:
    """Return for each label set a number that stands for the parameter axes it comes from."""
    names = {key: n for n, key in enumerate(dict.fromkeys((p.parameter, p.axes) for p in slices))}
    noise = np.random.default_rng(0).integers(0, 1 << 63, len(names), np.uint64)
    number = np.array([names[p.parameter, p.axes] for p in slices], np.int64)
    # a set may stand in an axis twice, as element and as row: it counts once
    labels, origins = _unique_pairs(members.roots[counts], number[members.slices[counts]])
    result = np.zeros(size, np.uint64)
    np.add.at(result, labels, noise[origins])
    return result


def _components(members: _Members) -> dict[int, int]:
    """Number the connected components of parameter slices that share atoms."""
    order = np.argsort(members.roots, kind="stable")
    roots, slices = members.roots[order], members.slices[order]
    graph: nx.Graph[int] = nx.Graph()
    graph.add_nodes_from(np.unique(slices).tolist())
    same = roots[1:] == roots[:-1]
    graph.add_edges_from(np.stack(_unique_pairs(slices[1:][same], slices[:-1][same])).T.tolist())
    return {
        node: number
        for number, nodes in enumerate(nx.connected_components(graph))
        for node in nodes
    }
