"""Check that every value of a graph has one definition, made before it is used."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, NamedTuple

from onnxprune.errors import InvalidModelError, printable
from onnxprune.io.check_node import check_attributes, check_operator
from onnxprune.io.place import described_node, located, normal_domain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import onnx

__all__ = ["FunctionKey", "GraphChecker", "function_key", "sort_nodes", "subgraphs"]


class FunctionKey(NamedTuple):
    """What a call and a function have in common."""

    domain: str
    name: str
    overload: str


def function_key(node: onnx.NodeProto) -> FunctionKey:
    """Return the key of the function that a node would call."""
    return FunctionKey(normal_domain(node.domain), node.op_type, node.overload)


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Yield the graphs in a node's attributes."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


class _Scope:
    """The names that one graph defines, and those of them that were not visible before."""

    def __init__(self) -> None:
        self.own: set[str] = set()
        self.added: set[str] = set()


class GraphChecker:
    """Checks nodes and names of one graph or function body and of the graphs inside it.

    Args:
        opsets: Version of each domain in force.
        functions: The functions that nodes may call.
        in_function: Whether the body is a function's.
    """

    def __init__(
        self,
        opsets: Mapping[str, int],
        functions: Mapping[FunctionKey, onnx.FunctionProto],
        *,
        in_function: bool = False,
    ) -> None:
        self._opsets = opsets
        self._functions = functions
        self._in_function = in_function
        self._visible: set[str] = set()

    def check_graph(self, graph: onnx.GraphProto, *, nested: bool = False) -> None:
        """Check a graph, with the values visible so far as its surroundings.

        Args:
            graph: The graph; its nodes are in an order in which they can run.
            nested: Whether it sits in a node's attribute.

        Raises:
            InvalidModelError: For the first thing that is wrong.
        """
        inputs = [value.name for value in graph.input]
        weights = [tensor.name for tensor in graph.initializer]
        weights += [sparse.values.name for sparse in graph.sparse_initializer]
        if len(set(weights)) < len(weights):
            twice = next(name for name in weights if weights.count(name) > 1)
            msg = f"initializer '{printable(twice)}' is there twice"
            raise InvalidModelError(msg)
        scope = _Scope()
        self._define(inputs, scope, "a graph input")
        # An initializer with an input's name is that input's default.
        defaults = set(inputs).intersection(weights)
        self._define((name for name in weights if name not in defaults), scope, "an initializer")
        self._check_nodes(graph.node, scope)
        # A graph inside a node returns values of its own; runtimes cannot return others from it.
        results = scope.own if nested else self._visible
        for value in graph.output:
            if value.name not in results:
                msg = f"graph output '{printable(value.name)}' is not defined by anything"
                raise InvalidModelError(msg)
        self._visible -= scope.added

    def check_function(self, function: onnx.FunctionProto) -> None:
        """Check a function's body, which sees nothing but its inputs.

        Raises:
            InvalidModelError: For the first thing that is wrong.
        """
        scope = _Scope()
        self._define(function.input, scope, "an input")
        check_attributes(function.attribute_proto, in_function=False)
        self._check_nodes(function.node, scope)
        for name in function.output:
            if name not in scope.own:
                msg = f"output '{printable(name)}' is not defined by anything"
                raise InvalidModelError(msg)

    def _define(self, names: Iterable[str], scope: _Scope, kind: str) -> None:
        """Add names to a scope; those from outside may be hidden by it, as runtimes allow."""
        for name in names:
            if not name:
                msg = f"{kind} has no name"
                raise InvalidModelError(msg)
            if name in scope.own:
                msg = f"{kind} is called '{printable(name)}', which is already the name of a value"
                raise InvalidModelError(msg)
            scope.own.add(name)
            if name not in self._visible:
                self._visible.add(name)
                scope.added.add(name)

    def _check_nodes(self, nodes: Sequence[onnx.NodeProto], scope: _Scope) -> None:
        names: set[str] = set()
        for node in nodes:
            with located(described_node, node, self._opsets):
                self._check_node(node)
                if node.op_type != "Constant":  # runtimes see weights in these, and no names
                    if node.name and node.name in names and not self._in_function:
                        msg = "has the same name as a node before it, which runtimes refuse"
                        raise InvalidModelError(msg)
                    names.add(node.name)
                for name in filter(None, node.output):
                    if name in self._visible:
                        msg = f"writes '{printable(name)}', which is already defined"
                        raise InvalidModelError(msg)
                    self._define([name], scope, "an output")

    def _check_node(self, node: onnx.NodeProto) -> None:
        if not node.op_type:
            msg = "has no operator"
            raise InvalidModelError(msg)
        check_attributes(node.attribute, in_function=self._in_function)
        function = self._functions.get(function_key(node)) if self._functions else None
        if function is None:
            check_operator(node, self._opsets)
        else:
            _check_call(node, function)
        for name in node.input:
            if name and name not in self._visible:
                msg = f"reads '{printable(name)}', which nothing before it defines"
                raise InvalidModelError(msg)
        for graph in subgraphs(node):
            self.check_graph(graph, nested=True)


def _check_call(node: onnx.NodeProto, function: onnx.FunctionProto) -> None:
    for kind, seen, most in (
        ("input", len(node.input), len(function.input)),
        ("output", len(node.output), len(function.output)),
    ):
        if seen > most:
            msg = f"has {seen} {kind}s, the function it calls has {most}"
            raise InvalidModelError(msg)


def sort_nodes(graph: onnx.GraphProto) -> None:
    """Put a graph's nodes into an order in which they can run, if they are not.

    Runtimes sort the outermost graph themselves, so files in another order exist. Nodes keep their
    order as far as it can be kept.

    Raises:
        InvalidModelError: When nodes wait for each other.
    """
    producers = {
        name: index for index, node in enumerate(graph.node) for name in node.output if name
    }
    waits = [
        {producers[name] for name in _names_read(node) if name in producers} for node in graph.node
    ]
    if all(not before or max(before) < index for index, before in enumerate(waits)):
        return
    followers: dict[int, list[int]] = {}
    for index, before in enumerate(waits):
        for producer in before:
            followers.setdefault(producer, []).append(index)
    missing = [len(before) for before in waits]
    ready = [index for index, count in enumerate(missing) if count == 0]
    order: list[int] = []
    while ready:
        index = heapq.heappop(ready)
        order.append(index)
        for follower in followers.get(index, ()):
            missing[follower] -= 1
            if not missing[follower]:
                heapq.heappush(ready, follower)
    if len(order) < len(waits):
        stuck = graph.node[next(index for index, count in enumerate(missing) if count)]
        msg = f"{described_node(stuck, {})} is part of or behind a cycle: it reads its own result"
        raise InvalidModelError(msg)
    nodes = [graph.node[index] for index in order]
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def _names_read(node: onnx.NodeProto) -> set[str]:
    """Return the values a node reads, those that graphs inside it take from outside included."""
    names = set(node.input)
    for graph in subgraphs(node):
        inner: set[str] = {value.name for value in graph.input}
        inner.update(tensor.name for tensor in graph.initializer)
        inner.update(sparse.values.name for sparse in graph.sparse_initializer)
        read: set[str] = set()
        for child in graph.node:
            read |= _names_read(child)
            inner.update(child.output)
        names |= read - inner
    names.discard("")
    return names
