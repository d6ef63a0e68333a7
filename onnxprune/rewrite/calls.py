"""Put calls of local functions back where a cut left their bodies as they were.

Functions are expanded for the analysis, so that a cut may differ from call to call. Afterwards,
every expanded body that still is the function's body, with whatever inputs and attributes, becomes
a call again; a call whose body changed stays expanded, and the calls inside of it are looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import onnx

from onnxprune.core.graph import SELECT_AXIS
from onnxprune.io.check_graph import FunctionKey, function_key, sort_nodes, subgraphs
from onnxprune.io.place import normal_domain
from onnxprune.rewrite.match import Match
from onnxprune.rewrite.prepare import reads

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    Nodes = Sequence[onnx.NodeProto]


class _Slot(NamedTuple):
    """A node of the expanded model, and what the cut made of it (None: it is gone)."""

    before: onnx.NodeProto
    after: onnx.NodeProto | None
    place: int


class _Kept(NamedTuple):
    """A call, and the nodes of the cut graph that it stands for, by position."""

    call: onnx.NodeProto
    places: list[int]


def restore_calls(
    original: onnx.ModelProto,
    expanded: onnx.ModelProto,
    after: onnx.ModelProto,
    cut: Collection[str],
) -> None:
    """Turn expanded functions back into calls, in place.

    Args:
        original: the model with its functions.
        expanded: the same with functions expanded, before the cut.
        after: the expanded model after the cut; it is changed.
        cut: names of values that lost places.
    """
    left = {_key(f) for f in expanded.functions}
    table = {_key(f): f for f in original.functions if _key(f) not in left}
    names = {n.name for n in after.graph.node}
    stale: dict[FunctionKey, set[str]] = {k: set() for k in table}
    _restore(_Place(table, after.graph, names, cut, stale), original.graph, expanded.graph)
    _keep_functions(original, after, stale)


class _Place(NamedTuple):
    """A graph after the cut, and what is known all over the model.

    Attributes:
        table: the functions that were expanded.
        graph: the graph.
        names: names of nodes that are taken.
        cut: names of values that lost places.
        stale: by function, values in its body whose declared shape no longer holds.
    """

    table: Mapping[FunctionKey, onnx.FunctionProto]
    graph: onnx.GraphProto
    names: set[str]
    cut: Collection[str]
    stale: dict[FunctionKey, set[str]]


def _restore(place: _Place, original: onnx.GraphProto, expanded: onnx.GraphProto) -> None:
    """Restore the calls in one graph and in the bodies of its nodes."""
    made = {_first(n): i for i, n in enumerate(place.graph.node) if _first(n)}
    block = []
    for node in expanded.node:
        if any(p.key == SELECT_AXIS for p in node.metadata_props):
            continue  # stands between two nodes for the time of the analysis
        index = made.get(_first(node), -1)
        block.append(_Slot(node, place.graph.node[index] if index >= 0 else None, index))
    calls = _Calls(place)
    if sum(map(calls.size, original.node)) == len(block):
        _replace(place.graph, calls.find(original.node, block, main=True)[1])


class _Calls:
    """Finds the calls in one graph."""

    def __init__(self, place: _Place) -> None:
        self._place = place
        self._sizes: dict[FunctionKey, int] = {}
        self._readers: dict[str, set[int]] = {o.name: {-1} for o in place.graph.output}
        for index, node in enumerate(place.graph.node):
            for name in _reads(node):
                self._readers.setdefault(name, set()).add(index)

    def size(self, node: onnx.NodeProto) -> int:
        """Return how many nodes a node expands to."""
        key = function_key(node)
        function = self._place.table.get(key)
        if function is None:
            return 1
        if key not in self._sizes:
            self._sizes[key] = sum(map(self.size, function.node))
        return self._sizes[key]

    def find(
        self, body: Nodes, block: list[_Slot], *, main: bool = False
    ) -> tuple[list[onnx.NodeProto] | None, list[_Kept]]:
        """Return a block as the nodes of a body (None: it is not whole), and the calls in it."""
        found: list[onnx.NodeProto | None] = []
        kept: list[_Kept] = []
        for node in body:
            part, block = block[: self.size(node)], block[self.size(node) :]
            if function_key(node) in self._place.table:
                call, inner = self._call(node, part, main=main)
                found.append(call)
                kept += inner
            else:
                [slot] = part
                self._bodies(node, slot)
                found.append(slot.after)
        whole = [n for n in found if n is not None]
        return (whole if len(whole) == len(found) else None), kept

    def _bodies(self, node: onnx.NodeProto, slot: _Slot) -> None:
        if slot.after is None:
            return
        graphs = ({a.name: a.g for a in n.attribute if a.HasField("g")} for n in slot[:2] if n)
        before, after = graphs
        for attribute in node.attribute:
            name = attribute.name
            if attribute.HasField("g") and name in before and name in after:
                _restore(self._place._replace(graph=after[name]), attribute.g, before[name])

    def _call(
        self, like: onnx.NodeProto, part: list[_Slot], *, main: bool
    ) -> tuple[onnx.NodeProto | None, list[_Kept]]:
        key = function_key(like)
        function = self._place.table[key]
        nodes, inner = self.find(function.node, part)
        match = Match(function)
        if nodes is None or not match.nodes(function.node, nodes):
            return None, inner
        name = like.name if main else self._free_name(like.name)
        call = match.call(like, name, same_names=main)
        if call is None or not self._closed(part, call):
            return None, inner
        self._place.stale[key].update(
            v.name
            for v in function.value_info
            if match.names.get(v.name) in self._place.cut
            and any(d.HasField("dim_value") for d in v.type.tensor_type.shape.dim)
        )
        return call, [_Kept(call, [slot.place for slot in part])]

    def _free_name(self, name: str) -> str:
        candidate, number = name, 1
        while candidate and candidate in self._place.names:
            number += 1
            candidate = f"{name}_{number}"
        self._place.names.add(candidate)
        return candidate

    def _closed(self, part: list[_Slot], call: onnx.NodeProto) -> bool:
        """Tell whether nothing outside reads what the call does not return."""
        inside = {slot.place for slot in part}
        made = {o for slot in part if slot.after for o in slot.after.output if o}
        hidden = made.difference(call.output)
        return not made.intersection(call.input) and all(
            self._readers.get(name, set()) <= inside for name in hidden
        )


def _replace(graph: onnx.GraphProto, kept: list[_Kept]) -> None:
    if not kept:
        return
    gone = {i for k in kept for i in k.places}
    at_last = {max(k.places): k.call for k in kept}
    nodes = [
        at_last.get(i, node) for i, node in enumerate(graph.node) if i in at_last or i not in gone
    ]
    copies = [onnx.NodeProto.FromString(n.SerializeToString()) for n in nodes]
    hidden = {o for i in gone for o in graph.node[i].output}
    graph.ClearField("node")
    graph.node.extend(copies)
    hidden.difference_update(o for k in kept for o in k.call.output)
    infos = [v for v in graph.value_info if v.name not in hidden]
    graph.ClearField("value_info")
    graph.value_info.extend(infos)
    sort_nodes(graph)  # what was put behind one node of a call now has to come behind the call


def _keep_functions(
    original: onnx.ModelProto, after: onnx.ModelProto, stale: Mapping[FunctionKey, set[str]]
) -> None:
    """Put back the functions that are called, and those that never were."""
    called = _called(original, original.graph)
    needed = _called(original, after.graph)
    after.ClearField("functions")
    for function in original.functions:
        key = _key(function)
        if key in called - needed:
            continue
        copy = after.functions.add()
        copy.CopyFrom(function)
        infos = [v for v in function.value_info if v.name not in stale.get(key, ())]
        copy.ClearField("value_info")
        copy.value_info.extend(infos)
    domains = {normal_domain(n.domain) for n in _all_nodes(after.graph.node)}
    domains |= {normal_domain(o.domain) for o in original.opset_import}
    imports = [o for o in after.opset_import if normal_domain(o.domain) in domains]
    after.ClearField("opset_import")
    after.opset_import.extend(imports)


def _called(model: onnx.ModelProto, graph: onnx.GraphProto) -> set[FunctionKey]:
    """Return which functions a graph calls, through other functions as well."""
    table = {_key(f): f for f in model.functions}
    waiting: list[Nodes] = [graph.node]
    found: set[FunctionKey] = set()
    for nodes in waiting:
        keys = {function_key(n) for n in _all_nodes(nodes)} & table.keys() - found
        found |= keys
        waiting += [table[k].node for k in sorted(keys)]
    return found


def _key(function: onnx.FunctionProto) -> FunctionKey:
    return FunctionKey(normal_domain(function.domain), function.name, function.overload)


def _first(node: onnx.NodeProto) -> str:
    return next((o for o in node.output if o), "")


def _all_nodes(nodes: Nodes) -> Iterator[onnx.NodeProto]:
    for node in nodes:
        yield node
        for graph in subgraphs(node):
            yield from _all_nodes(graph.node)


def _reads(node: onnx.NodeProto) -> Iterator[str]:
    yield from node.input
    for graph in subgraphs(node):
        yield from reads(graph)
