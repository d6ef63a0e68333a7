"""Compare two models: interface, nodes, and the shape and content of every weight."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from typing import TYPE_CHECKING

from onnx import TensorProto, helper

from onnxprune.core.graph import Graph, build_graph
from onnxprune.diff.document import Change
from onnxprune.errors import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onnx import TypeProto

    from onnxprune.core.graph import Node, Parameter
    from onnxprune.io import Model

_SHOWN = 4


def compare_models(first: Model, second: Model) -> tuple[list[str], list[Change]]:
    """Return the differences in words, and one by one."""
    graphs = build_graph(first.proto), build_graph(second.proto)
    interface = [
        *_of_mappings("input", *(_interface(g, g.inputs) for g in graphs)),
        *_of_mappings("output", *(_interface(g, g.outputs) for g in graphs)),
        *_of_mappings("opset", *({k or "ai.onnx": str(v) for k, v in g.opsets.items()}
                                 for g in graphs)),
    ]  # fmt: skip
    nodes = _of_mappings("node", *(_nodes(g) for g in graphs))
    sizes, contents = _weights(first, second, graphs[0], graphs[1])
    metadata = _of_mappings("metadata", *(_metadata(m) for m in (first, second)))
    summary = _size_in_words(first, second, graphs)
    summary += _in_words("inputs, outputs and opsets changed", interface)
    summary += _nodes_in_words(graphs, nodes)
    summary += _in_words("weights of another shape", sizes)
    summary += _in_words("weights of the same shape and other content", contents)
    summary += _provenance(first, second)
    changes = [*interface, *nodes, *sizes, *contents, *metadata]
    return (summary if changes else []), changes


def _of_mappings(what: str, first: Mapping[str, str], second: Mapping[str, str]) -> list[Change]:
    names = [*first, *(n for n in second if n not in first)]
    return [
        Change(what=what, name=n, before=first.get(n), after=second.get(n))
        for n in names
        if first.get(n) != second.get(n)
    ]


def _interface(graph: Graph, names: list[str]) -> dict[str, str]:
    return {name: _type(graph.types.get(name)) for name in names}


def _type(declared: TypeProto | None) -> str:
    if declared is None or not declared.HasField("tensor_type"):
        return "no tensor"
    tensor = declared.tensor_type
    dims = [d.dim_param or str(d.dim_value) for d in tensor.shape.dim]
    return f"{helper.tensor_dtype_to_string(tensor.elem_type)}[{', '.join(dims)}]"


def _nodes(graph: Graph) -> dict[str, str]:
    return {f"{n.scope}{n.name}": _node(n) for n in graph.all_nodes()}


def _node(node: Node) -> str:
    operator = f"{node.domain}.{node.op}" if node.domain else node.op
    attributes = [
        f"{k}={v.decode('utf-8', 'replace') if isinstance(v, bytes) else v}"
        for k, v in sorted(node.attributes.items())
        if not isinstance(v, TensorProto)
    ]
    return f"{operator}({', '.join(attributes)})"


def _weights(
    first: Model, second: Model, one: Graph, other: Graph
) -> tuple[list[Change], list[Change]]:
    before, after = one.all_parameters(), other.all_parameters()
    sizes = _of_mappings(
        "weight",
        {k: _shape(p) for k, p in before.items()},
        {k: _shape(p) for k, p in after.items()},
    )
    contents = []
    for key, parameter in before.items():
        match = after.get(key)
        if match is None or _shape(match) != _shape(parameter):
            continue
        digests = [_digest(m, p) for m, p in ((first, parameter), (second, match))]
        if digests[0] != digests[1]:
            contents.append(Change(what="content", name=key, before=digests[0], after=digests[1]))
    return sizes, contents


def _shape(parameter: Parameter) -> str:
    kind = helper.tensor_dtype_to_string(parameter.dtype).removeprefix("TensorProto.").lower()
    return f"{kind}[{', '.join(map(str, parameter.shape))}]"


def _digest(model: Model, parameter: Parameter) -> str:
    array = model.array(parameter.tensor)
    if array.dtype == object:
        return hashlib.sha256(repr(array.tolist()).encode()).hexdigest()[:16]
    return hashlib.sha256(array.tobytes()).hexdigest()[:16]


def _metadata(model: Model) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.proto.metadata_props}


def _size_in_words(first: Model, second: Model, graphs: tuple[Graph, Graph]) -> list[str]:
    counts = [sum(math.prod(p.shape) for p in g.all_parameters().values()) for g in graphs]
    facts = [
        ("elements in weights", counts[0], counts[1]),
        ("bytes", first.size_bytes, second.size_bytes),
    ]
    return [
        f"{name}: {before} before, {after} after ({after / before - 1:+.1%})".replace("%", " %")
        for name, before, after in facts
        if before != after and before
    ]


def _nodes_in_words(graphs: tuple[Graph, Graph], changes: list[Change]) -> list[str]:
    counts = [Counter(n.op for n in g.all_nodes()) for g in graphs]
    gone, new = counts[0] - counts[1], counts[1] - counts[0]
    found = []
    for what, operators in (("gone", gone), ("new", new)):
        if operators:
            names = ", ".join(f"{n} {op}" for op, n in operators.most_common())
            found.append(f"operators that are {what}: {names}")
    changed = [c for c in changes if c.before is not None and c.after is not None]
    return found + _in_words("nodes with another operator or other attributes", changed)


def _in_words(what: str, changes: list[Change]) -> list[str]:
    if not changes:
        return []
    shown = [
        f"{printable(c.name)} {c.before or 'nothing'} -> {c.after or 'nothing'}"
        if c.what != "content"
        else printable(c.name)
        for c in changes[:_SHOWN]
    ]
    rest = f" and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else ""
    return [f"{what}: {'; '.join(shown)}{rest}"]


def _provenance(first: Model, second: Model) -> list[str]:
    """Say when one was made from the other."""
    found = []
    for one, other, names in ((first, second, "first"), (second, first, "second")):
        made = _metadata(other)
        if made.get("onnxprune.source_sha256") == one.sha256:
            which = {"first": "second", "second": "first"}[names]
            plan = printable(made.get("onnxprune.plan_sha256", ""))[:12]
            found.append(f"the {which} was made from the {names} by onnxprune, with plan {plan}")
    return found
