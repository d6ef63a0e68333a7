"""How much each group's removal costs: held-back error curves, weighed by their effect on outputs.

Per group the greedy order is made on one part of the samples; the error of the consumers' refitted
outputs is measured on the other part, so that a layer with more weights than samples does not look
free. Errors inside a network do not compare between layers. So at a few levels the weights of that
moment are put into the whole network, and the error of its outputs scales the curve.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.recovery.choice import features_of
from onnxprune.recovery.greedy import greedy_order, make_view
from onnxprune.recovery.moments import Moments, total, variance

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from onnxprune.core.groups import Group
    from onnxprune.recovery.greedy import View
    from onnxprune.recovery.sites import Site

    Array = np.ndarray

PROBED = (0.15, 0.35, 0.6)
"""Fractions of a group at which the whole network is run."""

_FRACTIONS = np.linspace(0, 0.95, 16)
"""Fractions of a group at which its curve is measured."""

_BATCHES = 60
"""Removals that a group is taken apart in; an order that is used is made more carefully."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Cost of removing atoms of a group.

    Attributes:
        group: the group.
        counts: numbers of atoms, from 0.
        errors: expected damage at each, rising.
        scores: place of each atom in the order of removal.
        local: by node number, error of a consumer's own outputs at each number of atoms.
    """

    group: Group
    counts: Array
    errors: Array
    scores: Array
    local: Mapping[int, Array] = field(default_factory=dict)

    def at(self, count: float) -> float:
        """Return the expected damage of removing so many atoms."""
        return float(np.interp(count, self.counts, self.errors))


@dataclass(slots=True)
class _Consumer:
    """A consumer with the moments of the samples that were held back."""

    site: Site
    weight: Array
    held: Array
    mean: Array
    scale: float
    importance: float

    def error(self, view: View) -> float:
        """Return the held-back error of its outputs, relative to their variance."""
        difference = view.weight / np.sqrt(self.importance) - self.weight
        return float((difference * (self.held @ difference)).sum()) / self.scale

    def replacement(self, view: View) -> tuple[Array, Array]:
        """Return its weight as the view has it, and the shift of its bias."""
        weight = view.weight / np.sqrt(self.importance)
        shift = self.mean @ (self.weight - weight)
        if self.site.pointwise:
            shift = shift.reshape(self.site.rows.kernel, -1).sum(axis=0)
        return self.site.collect(weight[None]), shift[None]


def _consumer(
    atoms: Sequence[int],
    site: Site,
    parts: Sequence[Moments],
    weight: Array,
    ridge: float,
    takes: Array | None,
) -> tuple[_Consumer, View]:
    held = parts[0]
    train = total(parts[1:]) if len(parts) > 1 else held
    matrix = site.spread(weight)[0]
    if site.pointwise:
        norms = np.sqrt(np.square(matrix).sum(axis=1))[None]
        train, held = train.scaled(norms), held.scaled(norms)
    importance = train.rows / variance(train)
    damp = ridge + 0.1 * len(matrix) / max(train.rows, 1.0)
    features = features_of(site, atoms, takes)
    view = make_view(train, matrix, features, ridge=damp, refit=False, importance=importance)
    mean = held.gram[0, :-1, -1] / max(held.rows, 1.0)
    centred = held.gram[0, :-1, :-1] - held.rows * np.outer(mean, mean)
    return _Consumer(site, matrix, centred, mean, variance(held), importance), view


def group_curve(
    group: Group,
    sites: Sequence[Site],
    folds: Mapping[int, Sequence[Moments]],
    weight_of: Callable[[Site], Array],
    *,
    ridge: float = 1e-3,
    measure: Callable[[Mapping[int, tuple[Array, Array]]], float] | None = None,
    takes: Array | None = None,
) -> Curve:
    """Return the curve of one group.

    Args:
        group: the group.
        sites: its consumers.
        folds: moments on the original network by node number.
        weight_of: current weights of a site [1, features, outputs].
        ridge: ridge of the inverses.
        measure: runs the whole network with some sites' weights and bias shifts replaced, and
            returns the relative error of its outputs.
        takes: by label the atom that takes it along, None where atoms are labels of consumers.
    """
    pairs = [
        _consumer(group.atoms.tolist(), site, folds[site.number], weight_of(site), ridge, takes)
        for site in sites
        if site.number in folds and site.groups == 1
    ]
    if not pairs:
        counts = np.arange(group.size + 1)
        return Curve(group, counts, counts / group.size, np.zeros(group.size))  # for all we know
    marks = {max(1, round(f * group.size)) for f in _FRACTIONS}
    probes = {max(1, round(f * group.size)) for f in PROBED} if measure is not None else set()
    local: dict[int, dict[int, float]] = {}
    probed: dict[int, float] = {}
    before = 0

    def watch(count: int) -> None:
        nonlocal before
        passed = range(before + 1, count + 1)
        before = count
        if any(n in marks or n in probes for n in passed):
            local[count] = {c.site.number: c.error(v) for c, v in pairs}
        if measure is not None and any(n in probes for n in passed):
            effect = measure({c.site.number: c.replacement(v) for c, v in pairs})
            if np.isfinite(effect):
                probed[count] = effect

    most = min(max(marks | probes), group.size - 1)
    order = greedy_order([v for _, v in pairs], group.size, most, watch=watch, batches=_BATCHES)
    scores = np.empty(group.size)
    scores[order.atoms] = np.arange(group.size, dtype=np.float64)
    counts = np.array([0, *sorted(local)])
    apart = {
        c.site.number: np.maximum.accumulate([0.0, *(local[n][c.site.number] for n in counts[1:])])
        for c, _ in pairs
    }
    errors = np.sum(list(apart.values()), axis=0)
    if probed:
        factors = [probed[c] / max(sum(local[c].values()), 1e-12) for c in sorted(probed)]
        errors = errors * np.interp(counts, sorted(probed), factors)
        errors = np.maximum.accumulate(errors)
    return Curve(group, counts, errors, scores, apart)


def with_company(
    curves: Sequence[Curve],
    sites: Sequence[Site],
    folds: Mapping[int, Sequence[Moments]],
    weight_of: Callable[[Site], Array],
    *,
    ridge: float = 1e-3,
    takes: Mapping[str, Array],
) -> list[Curve]:
    """Return curves that account for the groups that a consumer reads beside a group.

    Two parts of a concatenation that stand in for each other look dispensable, each as long as the
    other is there. So what a consumer loses when all its groups leave together, at the same
    fraction of each, is shared out among them in proportion to what each costs alone.

    Args:
        curves: the curves of groups on their own.
        sites: the consumers.
        folds: moments on the original network by node number.
        weight_of: current weights of a site [1, features, outputs].
        ridge: ridge of the inverses.
        takes: by group, by label the atom that takes it along, for groups whose atoms are not
            labels of the consumers.
    """
    factors: dict[int, Array] = {}
    for site in sites:
        own = [c for c in curves if site.number in c.local and c.group.id not in takes]
        if len(own) < 2:
            continue
        atoms = [a for c in own for a in c.group.atoms.tolist()]
        apart = [np.interp(_FRACTIONS, c.counts / c.group.size, c.local[site.number]) for c in own]
        together = _together(site, atoms, folds[site.number], weight_of(site), ridge)
        alone = np.sum(apart, axis=0)
        factors[site.number] = np.maximum(together, alone) / np.maximum(alone, 1e-12)
    return [_raised(c, factors) if factors.keys() & c.local.keys() else c for c in curves]


def _together(
    site: Site, atoms: Sequence[int], parts: Sequence[Moments], weight: Array, ridge: float
) -> Array:
    """Return the error of a consumer at the fractions, when any of the atoms may leave."""
    consumer, view = _consumer(atoms, site, parts, weight, ridge, None)
    found = {0: 0.0}

    def watch(count: int) -> None:
        found[count] = consumer.error(view)

    most = max(1, min(len(atoms) - 1, round(_FRACTIONS[-1] * len(atoms))))
    greedy_order([view], len(atoms), most, watch=watch, batches=_BATCHES)
    counts = np.array(list(found))
    return np.interp(_FRACTIONS, counts / len(atoms), np.maximum.accumulate(list(found.values())))


def _raised(curve: Curve, factors: Mapping[int, Array]) -> Curve:
    alone = np.sum(list(curve.local.values()), axis=0)
    at = curve.counts / curve.group.size
    raised = np.sum(
        [
            errors * np.interp(at, _FRACTIONS, factors[number]) if number in factors else errors
            for number, errors in curve.local.items()
        ],
        axis=0,
    )
    errors = curve.errors * raised / np.maximum(alone, 1e-12)
    return replace(curve, errors=np.maximum.accumulate(errors))
