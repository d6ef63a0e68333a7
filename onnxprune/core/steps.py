"""Removal steps: the order in which a group's atoms may leave so that every prefix is valid.

A step is a set of atoms that leaves at once: a single atom, or under a balance constraint one atom
of every row. This hides rectangles, and sites that must keep an index, from criteria and allocation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from onnxprune.core.dependencies import Dependencies, Group
    from onnxprune.core.labels import LabelArray

    Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A group with an order of removal.

    Attributes:
        group: the group.
        steps: atoms of each step, least important first; the last ones may not leave.
        scores: score of each step.
        limit: how many steps may leave at most.
        reason: why none may, "" otherwise.
    """

    group: Group
    steps: tuple[LabelArray, ...]
    scores: Scores
    limit: int
    reason: str = ""

    def atoms(self, count: int) -> LabelArray:
        """Return the atoms of the first `count` steps."""
        chosen = self.steps[:count]
        return np.concatenate(chosen) if chosen else np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class Limits:
    """What every group has to keep.

    Attributes:
        align: kept steps are a multiple of this where the group is large enough.
        min_channels: steps every group keeps.
        max_group_ratio: largest fraction of a group that leaves.
    """

    align: int = 1
    min_channels: int = 1
    max_group_ratio: float = 1.0

    def clip(self, size: int, removed: int) -> int:
        """Return the largest permitted number of steps not above `removed`."""
        most = min(size - max(1, self.min_channels), int(self.max_group_ratio * size + 1e-9))
        removed = max(0, min(removed, most))
        if self.align > 1:
            kept = -(-(size - removed) // self.align) * self.align
            removed = max(0, size - kept)
        return removed


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
    value = dict(zip(group.atoms.tolist(), scores.tolist(), strict=True))
    steps = _plain(group, scores) if not group.balances else _balanced(group, value)
    if steps is None:
        return Candidate(group, (), np.zeros(0), 0, "no choice keeps its rows equally long")
    means = np.array([float(np.mean([value[a] for a in s.tolist()])) for s in steps])
    steps = sites.filter([steps[i] for i in np.argsort(means, kind="stable")])
    means = np.array([float(np.mean([value[a] for a in s.tolist()])) for s in steps])
    total = len(group.atoms) if not group.balances else max(len(steps), 1)
    limit = limits.clip(total, min(len(steps), total - 1))
    reason = "" if limit else "its floor is reached"
    return Candidate(group, tuple(steps), means, limit, reason)


def _plain(group: Group, scores: Scores) -> list[LabelArray]:
    order = np.argsort(scores, kind="stable")
    return [group.atoms[i : i + 1] for i in order]


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


def _whole_columns(tables: Sequence[LabelArray], value: dict[int, float]) -> list[LabelArray] | None:
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
        self._of: dict[int, list[int]] = {}
        for number, site in enumerate(self._sites):
            for root in site.tolist():
                self._of.setdefault(root, []).append(number)

    def filter(self, steps: Sequence[LabelArray]) -> list[LabelArray]:
        """Drop steps that would leave a site without any index."""
        left = {n: len(self._sites[n]) for s in steps for a in s.tolist() for n in self._of.get(a, ())}
        kept = []
        for step in steps:
            taken: dict[int, int] = {}
            for atom in step.tolist():
                for number in self._of.get(atom, ()):
                    taken[number] = taken.get(number, 0) + 1
            if all(left[n] > count for n, count in taken.items()):
                kept.append(step)
                for number, count in taken.items():
                    left[number] -= count
        return kept

    def emptied(self, removed: NDArray[np.bool_]) -> list[LabelArray]:
        """Return sites of which nothing would remain."""
        return [s for s in self._sites if removed[s].all()]
