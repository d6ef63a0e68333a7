"""Put the body of an If in its place where all samples take the same branch.

Weights inside the body can then be repaired like any other. Values keep the keys of the analysis,
so its labels hold for the flat graph as well.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import helper, numpy_helper

from onnxprune.runtime.segment import Program, needed_steps, open_segment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from onnxprune.core.dependencies import Dependencies
    from onnxprune.core.graph import Graph, Node
    from onnxprune.runtime.feeds import Array, Feed

Taken = dict[tuple[str, ...], str]
"""Attribute with the branch, "" for an If that stays, by the outputs of the If."""


def inline_branches(
    proto: onnx.ModelProto,
    deps: Dependencies,
    read: Callable[[onnx.TensorProto], Array],
    samples: Sequence[Feed],
) -> tuple[onnx.ModelProto, Dependencies]:
    """Return the model and its analysis with branches that all samples take in their place.

    Args:
        proto: the model, without local functions.
        deps: its analysis.
        read: returns the content of a tensor.
        samples: inputs of the model.
    """
    taken: Taken = {}
    flat, model = deps.graph, proto
    while True:
        node = next((n for n in flat.nodes if _is_if(n) and n.outputs not in taken), None)
        if node is None:
            break
        taken[node.outputs] = _branch(Program(model, read), node, samples)
        if not taken[node.outputs] and node.scope:  # its body speaks of names that are gone
            taken |= dict.fromkeys(_around(deps.graph, node), "")
        flat = _flatten(deps.graph, taken)
        model = _build(proto, flat, read)
    if not any(taken.values()):
        return proto, deps
    flat.nodes = [replace(n, scope="") for n in flat.nodes]
    places = {n.outputs: n for n in flat.nodes}
    ctx = copy.copy(deps.ctx)
    ctx.graph = flat
    ctx.contractions = [
        replace(c, node=places[c.node.outputs])
        for c in deps.ctx.contractions
        if c.node.outputs in places
    ]
    return model, replace(deps, graph=flat, ctx=ctx)


def _is_if(node: Node) -> bool:
    return node.op == "If" and not node.domain


def _around(graph: Graph, node: Node) -> Iterator[tuple[str, ...]]:
    """Yield the outputs of all nodes whose bodies hold a node."""
    for outer in graph.all_nodes():
        if any(node.scope.startswith(body.scope) for body in outer.bodies.values()):
            yield outer.outputs


def _branch(program: Program, node: Node, samples: Sequence[Feed]) -> str:
    """Return the branch that every sample takes, "" when they differ."""
    key = node.inputs[0]
    feeds = [{k: v for k, v in f.items() if isinstance(v, np.ndarray)} for f in samples]
    tensor = program.weight(key)
    if tensor is not None:
        seen = {bool(program.content(tensor).item())}
    elif key in feeds[0]:
        seen = {bool(f[key].item()) for f in feeds}
    else:
        steps = needed_steps(program, range(len(program.steps)), [key])
        call = open_segment(program, steps, [key], weights={}, biases={}, like=feeds[0])
        seen = {bool(call(f)[key].item()) for f in feeds}
    if len(seen) != 1:
        return ""
    name = "then_branch" if seen.pop() else "else_branch"
    stays = any(n.bodies and not _is_if(n) for n in node.bodies[name].all_nodes())
    return "" if stays else name


def _flatten(graph: Graph, taken: Taken) -> Graph:
    flat = replace(graph, nodes=[], parameters=dict(graph.parameters))
    for node in _nodes(graph, taken, flat):
        flat.nodes.append(replace(node, index=len(flat.nodes)))
    return flat


def _nodes(graph: Graph, taken: Taken, flat: Graph) -> Iterator[Node]:
    for node in graph.nodes:
        name = taken.get(node.outputs, "") if _is_if(node) else ""
        if not name:
            yield node
            continue
        body = node.bodies[name]
        flat.parameters.update(body.parameters)
        yield from _nodes(body, taken, flat)
        for inner, outer in zip(body.outputs, node.outputs, strict=True):
            if outer:
                yield replace(
                    node, op="Identity", name=f"{node.name}.{name}", inputs=(inner,),
                    outputs=(outer,), attributes={}, bodies={},
                )  # fmt: skip


def _build(
    proto: onnx.ModelProto, flat: Graph, read: Callable[[onnx.TensorProto], Array]
) -> onnx.ModelProto:
    """Return the model of a flat graph."""
    model = onnx.ModelProto()
    model.CopyFrom(proto)
    graph = model.graph
    del graph.node[:]
    known = {t.name for t in graph.initializer}
    for key, parameter in flat.parameters.items():
        if key not in known:
            array = np.asarray(read(parameter.tensor), order="C")
            tensor = numpy_helper.from_array(array, key)
            tensor.data_type = parameter.dtype
            graph.initializer.append(tensor)
    for node in flat.nodes:
        if node.op == "Identity" and node.proto.op_type != "Identity":
            graph.node.append(helper.make_node("Identity", node.inputs, node.outputs))
            continue
        made = graph.node.add()
        made.CopyFrom(node.proto)
        if node.scope:
            del made.input[:]
            del made.output[:]
            made.input.extend(node.inputs)
            made.output.extend(node.outputs)
    return model
