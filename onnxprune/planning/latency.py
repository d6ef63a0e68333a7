"""Predict the time of a cut network, from a table of costs, to compare layouts of one plan.

Nodes are priced one by one, a value that forks by its copies. A cut that differs in few label sets
from the one before changes the price of few of them, so trying many is cheap.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.core.apart import find_producers
from onnxprune.core.cuts import Cuts
from onnxprune.core.graph import INTERNAL, SELECT
from onnxprune.core.macs import mac_terms
from onnxprune.core.selects import selects
from onnxprune.costs import DefaultCosts
from onnxprune.costs.layer import ITEM_BYTES, Copy
from onnxprune.costs.network import DTYPES, layer_of
from onnxprune.costs.table import copies_of
from onnxprune.planning.blocks import Blocks
from onnxprune.planning.edges import find_edges, find_joints
from onnxprune.rewrite.selects import wanted_indices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from onnxprune.core.apart import Producer
    from onnxprune.core.dependencies import Dependencies
    from onnxprune.core.graph import Node
    from onnxprune.core.labels import LabelArray
    from onnxprune.core.layout import Layout
    from onnxprune.costs import Copying, Layer, LayerCosts
    from onnxprune.costs.table import CostTable
    from onnxprune.planning.edges import Edge, Joint

    Flags = NDArray[np.bool_]
    Price = Callable[[Flags, Cuts], float]

_FREE = frozenset("Constant Flatten Identity Reshape Shape Size Squeeze Unsqueeze Dropout".split())

_FUSED = frozenset("Add BatchNormalization Clip LeakyRelu Relu".split())
"""Operators that runtimes compute with the convolution before them."""

_POOLS = frozenset("AveragePool GlobalAveragePool GlobalMaxPool MaxPool".split())
"""Operators that know the order of bytes of convolutions."""


class LatencyModel:
    """Time of a network under any cut, in microseconds.

    Args:
        deps: the analysis.
        costs: the table.

    Attributes:
        edges: the Selects at which a consumer may lose channels of its own.
        layers: the layers whose times were asked for.
        kinds: the same of copies, each of all the channels of a value.
    """

    def __init__(self, deps: Dependencies, costs: LayerCosts) -> None:
        self._deps, self._costs = deps, costs
        self._shapes = deps.settings[0]
        self._constants = deps.graph.all_parameters()
        self._fused, self._between = _near_convolutions(deps)
        self.edges = find_edges(deps)
        self._forks: dict[str, list[Edge]] = {}
        for edge in self.edges:
            self._forks.setdefault(edge.value, []).append(edge)
        self.layers: list[Layer] = []
        self.kinds: list[Copy] = []
        self._prices: list[Price] = []
        touched: list[LabelArray] = []
        for node in deps.graph.nodes:
            price = self._price_of(node)
            if price is not None:
                self._prices.append(price)
                touched.append(self._sets((*node.inputs, *node.outputs)))
        for forks in self._forks.values():
            self._prices.append(self._copies_of(forks))
            touched.append(
                np.unique(np.concatenate([s for e in forks for s in (e.above, e.below)]))
            )
        self._parts = len(self._prices)
        self._joints = find_joints(deps, self.edges)
        for joint in self._joints:
            self._prices.append(self._saved_by(joint))
            touched.append(self._sets((joint.output, *(n for e in joint.edges for n in e.ends))))
        self._producers = self._separable()
        for producer in self._producers.values():
            self._prices.append(self._saved_apart(producer))
            touched.append(self._sets((*producer.node.inputs, *producer.ends)))
        owners = np.repeat(np.arange(len(touched)), [len(t) for t in touched])
        sets = np.concatenate([np.zeros(0, np.int64), *touched])
        order = np.argsort(sets, kind="stable")
        self._sets_of, self._owners = sets[order], owners[order]
        self._blocks = Blocks(deps, costs, self._fused, self._between)
        self._cut: Flags | None = None
        self._times = np.zeros(len(self._prices))

    def _sets(self, keys: Iterable[str]) -> LabelArray:
        found = [np.zeros(0, np.int64)]
        for key in keys:
            found += [np.unique(f.labels) for f in self._deps.ctx.factors_of.get(key, ())]
        return np.unique(self._deps.roots[np.concatenate(found)])

    def _rank(self, key: str) -> int | None:
        shape = self._shapes.shape(key)
        return None if shape is None else len(shape)

    def _price_of(self, node: Node) -> Price | None:
        """Return what prices a node, None where no cut changes its time."""
        costs = self._costs
        layer = layer_of(node, self._shapes, self._old_size, self._constants)
        if layer is not None:
            self.layers.append(layer)
            over = costs.over(layer)

            def of_layer(_cut: Flags, cuts: Cuts) -> float:
                left = layer_of(node, self._shapes, cuts.size, self._constants)
                return over(left.widths) if left is not None else 0.0

            return of_layer
        terms = [t.reduced(self._deps.ctx, self._shapes) for t in mac_terms(node, self._rank)]
        if terms:
            return lambda _cut, cuts: costs.macs_us(sum(t.count(cuts) for t in terms))
        free = node.op in _FREE or (node.op == SELECT and node.domain == INTERNAL)
        if free or node.output(0) in self._fused:
            return None
        labelled = self._deps.ctx.factors_of
        touched = [k for k in (*node.inputs, *node.outputs) if k and labelled.get(k)]
        touched = [k for k in touched if k not in self._constants]
        widths = {k: ITEM_BYTES.get(self._dtype(k), 4) for k in touched}
        if not touched:
            return None
        return lambda _cut, cuts: costs.bytes_us(
            max(width * prod(cuts.shape(k)) for k, width in widths.items())
        )

    def _old_size(self, key: str, axis: int) -> int:
        return (self._shapes.shape(key) or ())[axis]

    def _dtype(self, key: str) -> str:
        return DTYPES.get(self._shapes.dtypes.get(key, 0), "float32")

    def _copying(self, key: str, axis: int, *, between: bool) -> Copying:
        kind = self._kind(key, axis, between=between)
        self.kinds.append(kind)
        return self._costs.copying(kind)

    def _kind(self, key: str, axis: int, *, between: bool) -> Copy:
        shape = self._shapes.shape(key) or ()
        size = shape[axis]
        return Copy("Gather", self._dtype(key), prod(shape[:axis]), shape[axis + 1 :], size, size,
                    between=between and axis == 1)  # fmt: skip

    def _copies_of(self, forks: Sequence[Edge]) -> Price:
        """Return what prices the copies of a value.

        It stays between convolutions only where nothing else reads it.
        """
        inside = [{*e.ends} <= self._between for e in forks]
        each = [
            self._copying(e.value, e.axis, between=b) for e, b in zip(forks, inside, strict=True)
        ]
        of = each[0].of if all(inside) else 0.0

        def of_copies(cut: Flags, _cuts: Cuts) -> float:
            times = {
                cut[e.below].tobytes(): c.us(0, _kept(e.below, cut))
                for e, c in zip(forks, each, strict=True)
                if e.copied(cut)
            }
            return sum(times.values()) + (of * _kept(forks[0].above, cut) if times else 0.0)

        return of_copies

    def _priced(self, cut: Flags) -> NDArray[np.float64]:
        """Return the times of all parts, of which few have changed since the last call."""
        if self._cut is None:
            changed = np.arange(len(self._prices))
        else:
            sets = np.flatnonzero(cut != self._cut)
            starts, ends = (np.searchsorted(self._sets_of, sets, s) for s in ("left", "right"))
            found = [self._owners[a:b] for a, b in zip(starts, ends, strict=True) if b > a]
            changed = np.unique(np.concatenate(found)) if found else np.zeros(0, np.int64)
        if len(changed):
            cuts = Cuts(self._deps.ctx, cut[self._deps.roots], self._shapes)
            for number in changed.tolist():
                self._times[number] = self._prices[number](cut, cuts)
        self._cut = cut.copy()
        return self._times

    def total(self, cut: Flags) -> float:
        """Return the time of the network with a copy for every consumer that needs one."""
        return float(self._priced(cut)[: self._parts].sum()) + self._blocks.us(cut)

    def least(self, cut: Flags) -> float:
        """Return the time of the network with whatever takes less than copies."""
        return float(self._priced(cut).sum()) + self._blocks.us(cut)

    def copies(self, cut: Flags) -> dict[tuple[str, bytes], list[Edge]]:
        """Return the Selects that need a copy, those together that share one."""
        found: dict[tuple[str, bytes], list[Edge]] = {}
        for edge in self.edges:
            if edge.copied(cut):
                found.setdefault((edge.value, cut[edge.below].tobytes()), []).append(edge)
        return found

    def joins(self, cut: Flags) -> dict[str, float]:
        """Return what one copy behind a concatenation saves, instead of many in front of it."""
        times = self._priced(cut)[self._parts :].tolist()
        return {j.output: -us for j, us in zip(self._joints, times, strict=False) if us < 0}

    def apart(self, cut: Flags) -> dict[str, float]:
        """Return what is saved where an operator is written once for every consumer."""
        times = self._priced(cut)[self._parts + len(self._joints) :].tolist()
        return {v: -us for v, us in zip(self._producers, times, strict=True) if us < 0}

    def _separable(self) -> dict[str, Producer]:
        """Return the operators that may be written several times, by their output."""
        behind = {e.value for joint in self._joints for e in joint.edges}
        found = find_producers(self._deps)
        return {v: p for v, p in found.items() if v in self._forks and v not in behind}

    def _saved_apart(self, producer: Producer) -> Price:
        """Return what prices operators with own rows: nothing, or less if that saves time."""
        node = producer.node
        copies = self._copies_of(self._forks[node.outputs[0]])
        whole = layer_of(node, self._shapes, self._old_size, self._constants)
        if whole is None or whole.groups != 1:
            return lambda _cut, _cuts: 0.0
        over = self._costs.over(whole)

        def of_rows(cut: Flags, cuts: Cuts) -> float:
            copied = copies(cut, cuts)
            sizes = producer.wanted(cuts).values()
            one = layer_of(node, self._shapes, cuts.size, self._constants)
            if not copied or one is None or not all(sizes):
                return 0.0
            own = sum(over((1, one.inner, size)) for size in sizes)
            return min(own - over(one.widths) - copied, 0.0)

        return of_rows

    def _saved_by(self, joint: Joint) -> Price:
        """Return what prices a concatenation: nothing, or less if one copy behind it saves time.

        A concatenation of values with odd numbers of channels brings them into the plain order of
        bytes anyhow, so that does not count.
        """
        own = [(e, self._copying(e.value, e.axis, between=False)) for e in joint.edges]
        behind = self._copying(joint.output, joint.axis, between=False)
        width = ITEM_BYTES.get(self._dtype(joint.output), 4)

        def of_joint(cut: Flags, cuts: Cuts) -> float:
            copied = [(e, c) for e, c in own if e.copied(cut)]
            if len(copied) < 2:
                return 0.0
            apart = sum(c.us(0, _kept(e.below, cut)) for e, c in copied)
            more = sum(int(e.missing(cut).sum()) * e.positions for e, _ in copied)
            after = behind.us(0, cuts.size(joint.output, joint.axis))
            return min(after + self._costs.bytes_us(more * width) - apart, 0.0)

        return of_joint

    def of(self, layout: Layout) -> float:
        """Return the time of a network as it is laid out."""
        cut = layout.cut
        saved = {**self.joins(cut), **self.apart(cut)}
        joints = [joint for joint in self._joints if joint.output in layout.joined]
        behind = {edge.ends[1] for joint in joints for edge in joint.edges}
        runs = sum(
            self._saved_by_run(edges[0], layout)
            for edges in self.copies(cut).values()
            if edges[0].node.outputs[0] not in behind and edges[0].value not in layout.apart
        )
        otherwise = layout.joined | layout.apart
        return self.total(cut) - sum(saved.get(name, 0.0) for name in otherwise) - runs

    def _saved_by_run(self, edge: Edge, layout: Layout) -> float:
        """Return what a copy takes less if it is a run of channels, as it is laid out."""
        cuts = Cuts(self._deps.ctx, layout.slots, self._shapes)
        wanted = wanted_indices(cuts, edge.value, edge.node.outputs[0], edge.axis)
        if wanted is None or (np.diff(wanted) != 1).any():
            return 0.0
        gather = self._kind(edge.value, edge.axis, between=False)
        times = [self._costs.copying(k) for k in (gather, replace(gather, op="Slice"))]
        before, after = (t.us(0, len(wanted)) for t in times)
        return max(before - after, 0.0)


def demanded(deps: Dependencies, table: CostTable) -> list[Layer | Copy]:
    """Return the layers and copies whose times price any cut of a network, for a table to measure.

    Args:
        deps: the unconstrained analysis.
        table: knows at which widths.
    """
    model = LatencyModel(deps, DefaultCosts())
    found = [item for layer in model.layers for item in table.demand(layer)]
    return [*found, *(item for kind in model.kinds for item in copies_of(kind))]


def _near_convolutions(deps: Dependencies) -> tuple[set[str], set[str]]:
    """Return the values that are computed with a convolution, and those that stay in its order.

    The second are images that convolutions and pools exchange; the output of a Select counts among
    them if such an operator reads it.
    """
    fused: set[str] = set()
    convolved: set[str] = set()
    between: set[str] = set()
    readers: set[str] = set()
    for node in deps.graph.nodes:
        output = node.output(0)
        if node.op == "Conv" and not node.domain and len(deps.ctx.shape(output) or ()) == 4:
            convolved.add(output)
        elif node.op in _FUSED and not node.domain and convolved.intersection(node.inputs):
            fused.add(output)
            convolved.add(output)
        elif node.op in _POOLS and not node.domain and node.input(0) in between:
            between.add(output)
        elif node.op == SELECT and node.input(0) in convolved:
            convolved.add(output)
            continue
        else:
            continue
        between.add(output)
        readers |= {*node.inputs}
    return fused, between | {n.outputs[0] for n in selects(deps) if n.outputs[0] in readers}


def _kept(sets: LabelArray, cut: Flags) -> int:
    return int(np.count_nonzero(~cut[sets]))
