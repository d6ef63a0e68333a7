"""Take residual branches out of a rewritten model: `x + f(x)` becomes `x`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx

from onnxprune.core.graph import FREE_INITIALIZERS
from onnxprune.errors import PlanMismatchError, printable
from onnxprune.rewrite.apply import Rewritten

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from onnxprune.core.branches import Branch


def bypass(rewritten: Rewritten, branches: Collection[Branch]) -> Rewritten:
    """Return a model without some residual branches, and without what only they needed.

    Nodes, weights and value infos that were of no use before stay: they are none of our business.

    Args:
        rewritten: the model, its channels cut already.
        branches: what leaves.

    Raises:
        PlanMismatchError: an addition is no longer as it was analysed.
    """
    if not branches:
        return rewritten
    proto = onnx.ModelProto()
    proto.CopyFrom(rewritten.proto)
    graph = proto.graph
    before = set(_needed(graph))
    _skip(graph, branches)
    alive = set(_needed(graph))
    gone: set[str] = set()
    dead: list[int] = []
    for number, node in enumerate(graph.node):
        if alive.intersection(node.output):
            continue
        # a cut may have left nodes that nothing needs, and they must not read what is not there
        if before.intersection(node.output) or gone.intersection(_inputs(node)):
            dead.append(number)
            gone.update(node.output)
    read = {name for number in dead for name in _inputs(graph.node[number])}
    for number in reversed(dead):
        del graph.node[number]
    read -= {name for node in graph.node for name in _inputs(node)}
    _drop_weights(proto, read - {o.name for o in graph.output})
    made = {o for node in graph.node for o in node.output}
    lost = (gone | read | before) - made - alive
    for number in reversed(range(len(graph.value_info))):
        if graph.value_info[number].name in lost:
            del graph.value_info[number]
    for number in reversed(range(len(graph.quantization_annotation))):
        if graph.quantization_annotation[number].tensor_name in lost:
            del graph.quantization_annotation[number]
    kept = {t.name for t in graph.initializer}
    arrays = {name: array for name, array in rewritten.arrays.items() if name in kept}
    return Rewritten(proto, arrays)


def _skip(graph: onnx.GraphProto, branches: Collection[Branch]) -> None:
    """Let the other summand take the place of every sum that loses one."""
    leaving: dict[str, set[int]] = {}
    for branch in branches:
        leaving.setdefault(branch.node.outputs[0], set()).add(branch.position)
    values = {b.node.outputs[0]: b.value for b in branches}
    captured = {name for node in graph.node for body in _bodies(node) for name in _reads(body)}
    fixed = captured | {o.name for o in graph.output}
    instead: dict[str, str] = {}
    silent: set[str] = set()
    found: set[str] = set()
    for node in graph.node:
        for position, name in enumerate(node.input):
            node.input[position] = instead.get(name, name)
        output = node.output[0] if node.output else ""
        if node.op_type not in ("Add", "Sum") or len(node.input) != 2:
            continue
        gone = set(leaving.get(output, ()))
        gone.update(p for p, name in enumerate(node.input) if name in silent)
        if not gone:
            continue
        found.add(output)
        if len(gone) == 2:
            silent.add(output)
            continue
        stays = node.input[1 - gone.pop()]
        if output in fixed:
            node.op_type = "Identity"
            del node.input[:]
            node.input.append(stays)
        else:
            instead[output] = stays
    missing = values.keys() - found
    if missing:
        message = f"the addition that makes '{printable(min(missing))}' is not there any more"
        raise PlanMismatchError(message, hint="make a plan for this model")


def _needed(graph: onnx.GraphProto) -> Iterator[str]:
    """Yield the names that the outputs of a graph depend on."""
    made_by = {o: node for node in graph.node for o in node.output if o}
    stack = [o.name for o in graph.output]
    seen: set[str] = set()
    while stack:
        name = stack.pop()
        if name in seen:
            continue
        seen.add(name)
        yield name
        node = made_by.get(name)
        if node is not None:
            stack += _inputs(node)
            # a node lives with all its outputs
            for output in node.output:
                if output and output not in seen:
                    seen.add(output)
                    yield output


def _inputs(node: onnx.NodeProto) -> list[str]:
    """Return what a node and its bodies read."""
    inner = (name for body in _bodies(node) for name in _reads(body))
    return [name for name in (*node.input, *inner) if name]


def _bodies(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g


def _reads(graph: onnx.GraphProto) -> Iterator[str]:
    """Yield every name that a body speaks of; its own ones do no harm."""
    yield from (o.name for o in graph.output)
    for node in graph.node:
        yield from node.input
        for body in _bodies(node):
            yield from _reads(body)


def _drop_weights(proto: onnx.ModelProto, gone: Iterable[str]) -> None:
    """Drop initializers; one that is also an input that a caller may set stays."""
    gone = set(gone)
    graph = proto.graph
    if proto.ir_version >= FREE_INITIALIZERS:
        gone -= {i.name for i in graph.input}
    weights = {t.name for t in graph.initializer} & gone
    for field in (graph.initializer, graph.input):
        for number in reversed(range(len(field))):
            if field[number].name in weights:
                del field[number]
    for sparse in [s for s in graph.sparse_initializer if s.values.name in gone]:
        graph.sparse_initializer.remove(sparse)
