"""Removal steps: the order in which a group's atoms may leave so that every prefix is valid.

A step is a set of atoms that leaves at once: a single atom, or under a balance constraint one atom
of every row. This hides rectangles, and sites that must keep an index, from criteria and
allocation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from onnxprune.core.dependencies import Dependencies
    from onnxprune.core.groups import Group
    from onnxprune.core.labels import LabelArray

    Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a group has to keep.

    Attributes:
        align: kept steps are a multiple of this where the group is large enough.
        min_channels: steps every group keeps.
        max_group_ratio: largest fraction of a group that leaves.
        firm: whether `align` holds even where a target is overshot for it.
    """

    align: int = 1
    min_channels: int = 1
    max_group_ratio: float = 1.0
    firm: bool = True

    def clip(self, size: int, removed: int) -> int:
        """Return the largest permitted number of steps not above `removed`."""
        most = min(size - max(1, self.min_channels), int(self.max_group_ratio * size + 1e-9))
        removed = max(0, min(removed, most))
        if self.align > 1:
            kept = -(-(size - removed) // self.align) * self.align
            removed = max(0, size - kept)
        return removed


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A group with an order of removal.

    Attributes:
        group: the group.
        order: atoms, least important first.
        bounds: where each step begins in `order`, and its end.
        scores: score of each step.
        limit: how many steps may leave at most.
        reason: why none may, "" otherwise.
        size: number of steps the group consists of, those that may not leave included.
        limits: what the group keeps.
    """

    group: Group
    order: LabelArray
    bounds: LabelArray
    scores: Scores
    limit: int
    reason: str = ""
    size: int = 0
    limits: Limits = field(default_factory=Limits)

    @property
    def steps(self) -> tuple[LabelArray, ...]:
        """Atoms of each step."""
        return tuple(np.split(self.order, self.bounds[1:-1])) if len(self.scores) else ()

    def atoms(self, count: int) -> LabelArray:
        """Return the atoms of the first `count` steps."""
        return self.order[: self.bounds[count]]

    def clip(self, removed: int) -> int:
        """Return the largest permitted number of steps not above `removed`."""
        return min(self.limit, self.limits.clip(self.size, min(removed, self.limit)))


def make_candidate(
    deps: Dependencies, group: Group, scores: Scores, sites: SiteTable, limits: Limits
) -> Candidate:
    """Order a group's atoms by score into steps.

    Args:
        deps: the analysis.
        group: the group.
        scores: importance of each of `group.atoms`.
        sites: label arrays of which something has to remain.
        limits: what the group keeps.
    """
    if group.balances:
        steps = _balanced(group, dict(zip(group.atoms.tolist(), scores.tolist(), strict=True)))
        if steps is None:
            why = "no choice keeps its rows equally long"
            return Candidate(group, group.atoms[:0], np.zeros(1, np.int64), np.zeros(0), 0, why)
        sizes = np.array([len(s) for s in steps])
        atoms = np.concatenate(steps)
    else:
        atoms, sizes = group.atoms, np.ones(group.size, np.int64)
    score_of = np.zeros(len(deps.roots))
    score_of[group.atoms] = scores
    owner = np.repeat(np.arange(len(sizes)), sizes)
    means = np.bincount(owner, score_of[atoms], len(sizes)) / sizes
    rank = np.argsort(np.argsort(means, kind="stable"), kind="stable")
    total = len(sizes)
    keep = ~sites.last_steps(atoms, rank[owner], total)
    chosen = keep[rank[owner]]
    atoms, owner = atoms[chosen], rank[owner][chosen]
    order = np.argsort(owner, kind="stable")
    kept_sizes = sizes[np.argsort(rank)][keep]
    limit = limits.clip(total, min(len(kept_sizes), total - 1))
    return Candidate(
        group, atoms[order], np.concatenate([[0], np.cumsum(kept_sizes)]),
        np.sort(means, kind="stable")[keep], limit, "" if limit else "its floor is reached",
        total, limits,
    )  # fmt: skip


def _own_tables(group: Group) -> list[LabelArray]:
    return sorted(group.balances, key=lambda t: -t.size)


def _balanced(group: Group, value: dict[int, float]) -> list[LabelArray] | None:
    """Take equally many of the best atoms of every cell together; else whole columns.

    A cell holds the atoms that stand in the same rows of every table.
    """
    tables = _own_tables(group)
    rows_of: dict[int, list[tuple[int, int]]] = {int(a): [] for a in group.atoms}
    for number, table in enumerate(tables):
        for row, members in enumerate(table.tolist()):
            for atom in members:
                if atom in rows_of:
                    rows_of[atom].append((number, row))
    cells: dict[tuple[tuple[int, int], ...], list[int]] = {}
    for atom in sorted(value, key=lambda a: (value[a], a)):
        cells.setdefault(tuple(rows_of[atom]), []).append(atom)
    count = math.gcd(*(len(c) for c in cells.values()))
    if count > 1:
        steps = [
            np.array(sorted(a for c in cells.values() for a in _share(c, step, count)))
            for step in range(count)
        ]
        if _even(tables, steps):
            return steps
    return _whole_columns(tables, value)


def _share(cell: list[int], step: int, count: int) -> list[int]:
    size = len(cell) // count
    return cell[step * size : (step + 1) * size]


def _whole_columns(
    tables: Sequence[LabelArray], value: dict[int, float]
) -> list[LabelArray] | None:
    steps, seen = [], set[int]()
    for column in tables[0].T.tolist():
        members = set(column)
        if members <= value.keys() and not members & seen:
            steps.append(np.array(sorted(members)))
            seen |= members
    return steps if steps and _even(tables, steps) else None


def _even(tables: Sequence[LabelArray], steps: Sequence[LabelArray]) -> bool:
    """Check that every step takes equally many elements of every row of every table."""
    step_of = {int(a): i for i, s in enumerate(steps) for a in s}
    for table in tables:
        numbers = np.array([[step_of.get(int(a), -1) for a in row] for row in table])
        ordered = np.sort(numbers, axis=1)
        if (ordered != ordered[0]).any():
            return False
    return True


class SiteTable:
    """Label arrays of value axes, each of which has to keep an index."""

    def __init__(self, deps: Dependencies) -> None:
        unique: dict[bytes, LabelArray] = {}
        seen: set[int] = set()
        for factors in deps.ctx.factors_of.values():
            for factor in factors:
                if id(factor.labels) in seen:
                    continue
                seen.add(id(factor.labels))
                roots = np.unique(deps.roots[factor.labels])
                unique.setdefault(roots.tobytes(), roots)
        stays = np.zeros(len(deps.roots), bool)
        stays[[0, *deps.frozen]] = True
        self._sites = [s for s in unique.values() if not stays[s].any()]
        self._flat = np.concatenate(self._sites or [np.zeros(0, np.int64)])
        sizes = np.array([len(s) for s in self._sites], np.int64)
        self._starts = np.cumsum(sizes) - sizes
        self._count = len(deps.roots)

    def last_steps(self, atoms: LabelArray, steps: LabelArray, count: int) -> NDArray[np.bool_]:
        """Return which steps may not leave because they would empty a site.

        Args:
            atoms: atoms of a group.
            steps: step of each of them.
            count: number of steps.
        """
        result = np.zeros(count, bool)
        if not self._sites:
            return result
        step_of = np.full(self._count, -1)
        step_of[atoms] = steps
        found = step_of[self._flat]
        first = np.minimum.reduceat(found, self._starts)
        last = np.maximum.reduceat(found, self._starts)
        result[last[first >= 0]] = True
        return result

    def emptied(self, removed: NDArray[np.bool_]) -> list[LabelArray]:
        """Return sites of which nothing would remain."""
        return [s for s in self._sites if removed[s].all()]
