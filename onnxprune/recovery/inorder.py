"""Walk a network in order: choose what leaves at a group's first consumer, repair every consumer.

The input of a consumer is that of the network as pruned and repaired so far, the target is what the
original computes there. Nothing is cut: what leaves is zeroed in the weights that read it. OSSCAR
(arXiv 2403.12983) takes moments on the pruned stream and targets on the dense one, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from onnx import helper

from onnxprune.core.branches import dead_nodes
from onnxprune.core.kept import kept_at
from onnxprune.recovery.choice import Evidence, score_group
from onnxprune.recovery.depth import silence
from onnxprune.recovery.path import Path, find_path
from onnxprune.recovery.repair import DEFAULT, Repair, Settings
from onnxprune.recovery.sites import Site, Sites, find_sites
from onnxprune.runtime.segment import Mask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from onnxprune.core.branches import Branch
    from onnxprune.core.dependencies import Dependencies
    from onnxprune.core.graph import Node
    from onnxprune.core.groups import Group
    from onnxprune.core.labelling import Contraction
    from onnxprune.recovery.moments import Moments
    from onnxprune.recovery.streams import Stream
    from onnxprune.runtime.feeds import Array
    from onnxprune.runtime.stream import TwinStream

Choose = Callable[["Group", "NDArray[np.float64]"], "NDArray[np.int64]"]
"""From a group and a score per atom to the atoms that leave."""


@dataclass(frozen=True, slots=True)
class Repaired:
    """What happened at one operator.

    Attributes:
        node: its name.
        method: name of the recovery that was chosen.
        ridge: its strength.
        error: held-back error relative to the variance of the target.
        before: the same without repair.
    """

    node: str
    method: str
    ridge: float
    error: float
    before: float


@dataclass(slots=True)
class Outcome:
    """A pruned and repaired network, still full size.

    Attributes:
        removed: one flag per label.
        weights: repaired weights and biases by parameter, full size.
        biases: new bias vectors by the output of their node.
        repairs: what was done, in order.
    """

    removed: NDArray[np.bool_]
    weights: dict[str, Array] = field(default_factory=dict)
    biases: dict[str, Array] = field(default_factory=dict)
    repairs: list[Repaired] = field(default_factory=list)


class InOrder:
    """One walk.

    Args:
        deps: the analysis.
        stream: the network on samples.
        read: returns the content of a parameter.
        groups: groups that may lose atoms.
        choose: decides which atoms of a group leave.
        dense: moments of consumers on the original network, by node number, for choices.
        settings: how to repair.
        ridge: least ridge of scores.
        most: how many atoms of a group may leave at most.
        removed: residual branches that leave as wholes: silent, and not worth a repair.
        streams: channels that may leave for all their consumers at once, before those choose.
    """

    def __init__(  # noqa: PLR0913
        self,
        deps: Dependencies,
        stream: TwinStream,
        read: Callable[[str], Array],
        groups: Sequence[Group],
        choose: Choose,
        *,
        dense: dict[int, list[Moments]],
        settings: Settings = DEFAULT,
        ridge: float = 1e-3,
        most: Callable[[Group], int] = lambda g: g.size - 1,
        removed: Sequence[Branch] = (),
        streams: Sequence[Stream] = (),
    ) -> None:
        self._deps, self._stream, self._read = deps, stream, read
        self._choose, self._dense, self._most = choose, dense, most
        self._settings, self._ridge = settings, ridge
        self._takes = {s.group.id: s.takes for s in streams}
        self._open = {g.id: g for g in [*(s.group for s in streams), *groups]}
        self._places = {s.group.id: place for place, s in enumerate(streams)}
        self._groups_of: dict[int, list[Group]] = {}
        for shared in streams:
            for label in np.flatnonzero(shared.takes).tolist():
                self._groups_of.setdefault(label, []).append(shared.group)
        for group in groups:
            for atom in group.atoms.tolist():
                self._groups_of.setdefault(atom, []).append(group)
        self._silent = {b.value for b in removed}
        stream.masks += [silence(deps, b) for b in removed]
        self._sites: Sites = find_sites(deps).without(dead_nodes(deps, removed))
        self._consumers: dict[str, list[Site]] = {}
        for site in self._sites.sites:
            for name in self._groups_at(site.atoms()):
                self._consumers.setdefault(name, []).append(site)
        self._readers: dict[str, list[Node]] = {}
        for node in deps.graph.nodes:
            for key in node.inputs:
                self._readers.setdefault(key, []).append(node)
        self.outcome = Outcome(np.zeros(len(deps.roots), bool))

    def run(self, progress: Callable[[int, int], None] | None = None) -> Outcome:
        """Walk to the end and return what leaves and the repaired weights."""
        stops: dict[int, list[Site | Contraction]] = {}
        for site in self._sites.sites:
            stops.setdefault(site.number, []).append(site)
        for contraction in self._sites.masked:
            stops.setdefault(contraction.node.index, []).append(contraction)
        for done, (_, places) in enumerate(sorted(stops.items())):
            for place in places:
                if isinstance(place, Site):
                    self._visit(place)
                else:
                    self._mask(place)
            if progress is not None:
                progress(done + 1, len(stops))
        self._decide(dict(self._open), None)  # groups inside bodies
        return self.outcome

    def _groups_at(self, atoms: NDArray[np.int64]) -> dict[str, Group]:
        """Return the groups with a say in some label sets, those of whole streams first."""
        found = {g.id: g for a in atoms.tolist() for g in self._groups_of.get(a, ())}
        last = len(self._places)
        return {n: found[n] for n in sorted(found, key=lambda name: self._places.get(name, last))}

    # ---- choosing ------------------------------------------------------------------------------

    def _decide(self, groups: dict[str, Group], here: Evidence | None) -> None:
        for name, group in groups.items():
            if name not in self._open:
                continue
            del self._open[name]
            evidence = []
            for site in self._consumers.get(name, ()):
                if here is not None and site is here.site:
                    evidence.append(here)
                elif site.number in self._dense and site.groups == 1:
                    alive = _alive(site, self.outcome.removed)
                    folds, weight = self._dense[site.number], self._weight(site)
                    scale = self._path(site).scale
                    evidence.append(
                        Evidence(site, folds, weight, refit=False, alive=alive, scale=scale)
                    )
            removed = self.outcome.removed
            scores = score_group(
                group, evidence, removed, most=self._most(group), ridge=self._ridge,
                takes=self._takes.get(name),
            )  # fmt: skip
            self.outcome.removed = removed | self._deps.removed_labels(self._choose(group, scores))

    def _weight(self, site: Site) -> Array:
        return site.weight.load(self._content(site.weight.chain.parameter.key))

    def _path(self, site: Site) -> Path:
        if site.gated:
            outputs = self._weight(site).shape[2]
            return Path(site.axis, np.ones(outputs), np.zeros(outputs))
        path = find_path(self._deps, site, self._readers, self._content)
        return replace(path, partner="") if path.partner in self._silent else path

    def _content(self, key: str) -> Array:
        found = self.outcome.weights.get(key)
        return self._read(key) if found is None else found

    # ---- repairing -----------------------------------------------------------------------------

    def _visit(self, site: Site) -> None:
        undecided = {n: g for n, g in self._groups_at(site.atoms()).items() if n in self._open}
        self._stream.move(site.number)
        differs = self._stream.differs(site.x)
        gone = site.gone(self.outcome.removed)
        if not undecided and not differs and (gone is None or not gone.any()):
            return
        path = self._path(site)
        repair = Repair(site, path, self._stream, self._settings)
        weight = self._weight(site)
        if undecided:
            here = None
            if site.groups == 1:
                alive = _alive(site, self.outcome.removed)
                here = Evidence(
                    site, repair.folds, weight, refit=differs, alive=alive, scale=path.scale
                )
            self._decide(undecided, here)
            gone = site.gone(self.outcome.removed)
        if not differs and (gone is None or not gone.any()):
            return
        self._repair(repair, weight, gone)

    def _repair(self, repair: Repair, weight: Array, gone: NDArray[np.bool_] | None) -> None:
        site = repair.site
        bias = self._bias(site, weight)
        groups, features, outputs = weight.shape
        kept = np.ones((groups, features), bool)
        if gone is not None:
            kept = np.repeat(~gone, site.rows.kernel).reshape(groups, features)
        alive = _alive(site, self.outcome.removed)
        stays = np.ones((groups, outputs), bool)
        if alive is not None:
            stays = alive.reshape(groups, outputs)
        if not kept.any() or not stays.any():
            self._store(site, np.where(kept[:, :, None], weight, 0.0), np.zeros_like(bias))
            return
        new, new_bias, done = repair.solve(weight, bias, kept, stays)
        self.outcome.repairs.append(
            Repaired(site.node.name, done.method, done.ridge, done.error, done.before)
        )
        self._store(site, new, new_bias - bias)

    def _bias(self, site: Site, weight: Array) -> Array:
        """Return the bias that the site's output includes [groups, outputs]."""
        bias = np.zeros(weight.shape[0] * weight.shape[2])
        spot = site.bias
        if spot is not None and spot.own and spot.parameter:
            bias = self._read(spot.parameter).astype(np.float64).reshape(-1) * spot.scale
        return bias.reshape(weight.shape[0], -1)

    def _store(self, site: Site, weight: Array, shift: Array) -> None:
        key = site.weight.chain.parameter.key
        like = self._content(key)
        self._set(key, site.weight.store(weight, like))
        shift = shift.reshape(-1)
        if site.bias is None or not shift.any():
            return
        if not site.bias.parameter:
            self.outcome.biases[site.y] = shift.astype(np.float32)
            self._stream.biases[site.number] = shift.astype(np.float32)
            return
        old = self._content(site.bias.parameter)
        self._set(site.bias.parameter, site.bias.add(old, shift))

    def _set(self, key: str, array: Array) -> None:
        self.outcome.weights[key] = array
        self._stream.weights[key] = array

    # ---- masking -------------------------------------------------------------------------------

    def _mask(self, contraction: Contraction) -> None:
        """Zero what leaves in front of an operator whose weights are not repaired."""
        node, position = contraction.node, contraction.position
        key = node.inputs[position]
        for factor in self._deps.ctx.factors_of.get(key, ()):
            if set(factor.axes) & set(contraction.axes):
                roots = self._deps.roots[factor.labels]
                self._decide(self._groups_at(np.unique(roots)), None)
        keep = kept_at(self._deps, contraction, self.outcome.removed)
        dtype = self._deps.settings[0].dtypes.get(key)
        if keep is not None and dtype is not None and node.op not in _INTEGER:
            kind = helper.tensor_dtype_to_np_dtype(dtype)
            self._stream.masks.append(Mask(node.index, position, keep.astype(kind)))


_INTEGER = ("ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul")


def _alive(site: Site, removed: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    dead = site.dead(removed)
    return None if dead is None else ~dead
