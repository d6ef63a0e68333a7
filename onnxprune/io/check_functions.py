"""Check the functions a model brings: no recursion, and no explosion when they are expanded."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from onnxprune.errors import InvalidModelError, printable
from onnxprune.io.check_graph import FunctionKey, GraphChecker, function_key, subgraphs
from onnxprune.io.check_versions import opset_table
from onnxprune.io.place import located, normal_domain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import onnx

__all__ = ["check_functions", "function_table"]

# Exporters that keep modules as functions stay far below both.
_MAX_EXPANDED_NODES = 100_000
_MAX_CALL_DEPTH = 64


def function_table(model: onnx.ModelProto) -> dict[FunctionKey, onnx.FunctionProto]:
    """Return a model's functions by what calls them.

    Raises:
        InvalidModelError: When two have the same key, or one has no name.
    """
    table: dict[FunctionKey, onnx.FunctionProto] = {}
    for function in model.functions:
        key = FunctionKey(normal_domain(function.domain), function.name, function.overload)
        if not function.name:
            msg = "has a function without a name"
            raise InvalidModelError(msg)
        if table.setdefault(key, function) is not function:
            msg = f"has {_described(key)} twice"
            raise InvalidModelError(msg)
    return table


def check_functions(
    graph: onnx.GraphProto, functions: Mapping[FunctionKey, onnx.FunctionProto]
) -> None:
    """Check each function's body, and how large the model gets when all calls are expanded.

    Args:
        graph: The model's graph.
        functions: What function_table says.

    Raises:
        InvalidModelError: For the first thing that is wrong.
    """
    for key, function in functions.items():
        with located(_described, key):
            opsets = opset_table(function.opset_import)
            GraphChecker(opsets, functions, in_function=True).check_function(function)
    _check_expansion(graph, functions)


def _described(key: FunctionKey) -> str:
    return f"function '{printable('::'.join(filter(None, key)))}'"


def _check_expansion(
    graph: onnx.GraphProto, functions: Mapping[FunctionKey, onnx.FunctionProto]
) -> None:
    counts = {key: _count(function.node, functions) for key, function in functions.items()}
    sizes: dict[FunctionKey, tuple[int, int]] = {}
    for key in _callees_first(counts):
        sizes[key] = _expanded(*counts[key], sizes)
    nodes, depth = _expanded(*_count(graph.node, functions), sizes)
    if sizes and nodes > _MAX_EXPANDED_NODES:
        msg = f"expands to {nodes} nodes, at most {_MAX_EXPANDED_NODES} are accepted"
        raise InvalidModelError(msg)
    if depth > _MAX_CALL_DEPTH:
        msg = f"has functions that call each other {depth} deep, at most {_MAX_CALL_DEPTH}"
        raise InvalidModelError(msg)


def _count(
    nodes: Iterable[onnx.NodeProto], functions: Mapping[FunctionKey, onnx.FunctionProto]
) -> tuple[int, Counter[FunctionKey]]:
    """Return the number of nodes, graphs inside them included, and of calls to each function."""
    total = 0
    calls: Counter[FunctionKey] = Counter()
    for node in nodes:
        total += 1
        if function_key(node) in functions:
            calls[function_key(node)] += 1
        for graph in subgraphs(node):
            inner, inner_calls = _count(graph.node, functions)
            total += inner
            calls += inner_calls
    return total, calls


def _expanded(
    own: int, calls: Counter[FunctionKey], sizes: Mapping[FunctionKey, tuple[int, int]]
) -> tuple[int, int]:
    """Return the number of nodes after expansion, and how deep calls nest."""
    total = own + sum(times * sizes[key][0] for key, times in calls.items())
    return total, max((sizes[key][1] + 1 for key in calls), default=0)


def _callees_first(
    counts: Mapping[FunctionKey, tuple[int, Counter[FunctionKey]]],
) -> list[FunctionKey]:
    """Return the functions so that each comes after those it calls."""
    order: list[FunctionKey] = []
    done: set[FunctionKey] = set()
    open_calls: dict[FunctionKey, list[FunctionKey]] = {}
    for start in counts:
        stack = [start]
        while stack:
            key = stack[-1]
            if key in done:
                stack.pop()
                continue
            left = open_calls.setdefault(key, list(counts[key][1]))
            if not left:
                done.add(key)
                order.append(stack.pop())
                continue
            callee = left.pop()
            if callee in open_calls and callee not in done:
                circle = " -> ".join(_described(k) for k in stack[stack.index(callee) :][:8])
                msg = f"has a function that calls itself: {circle} -> {_described(callee)}"
                raise InvalidModelError(msg)
            stack.append(callee)
    return order
