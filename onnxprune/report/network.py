"""The dependency graph as GraphML or DOT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import networkx as nx

from onnxprune.errors import InvalidConfigError, printable

if TYPE_CHECKING:
    from pathlib import Path

    from onnxprune.analysis import Analysis

    Network = nx.MultiGraph[Any]

FORMATS = (".graphml", ".dot")


def check_format(path: Path) -> None:
    """Refuse a file name that does not say how to write the graph.

    Raises:
        InvalidConfigError: the suffix is another one.
    """
    if path.suffix.lower() not in FORMATS:
        message = f"'{printable(path)}': a graph is written as GraphML or DOT"
        raise InvalidConfigError(message, hint=f"let the name end in {' or '.join(FORMATS)}")


def render_network(analysis: Analysis, path: Path) -> str:
    """Return the dependency graph in the format that a file name asks for.

    Nodes are the axes of values and parameters along which channels run, edges the operators that
    relate them.
    """
    graph = _plain(analysis.deps.network)
    if path.suffix.lower() == ".dot":
        return _dot(graph)
    return "\n".join(nx.generate_graphml(graph)) + "\n"


def _plain(network: Network) -> Network:
    """Copy the graph with nodes and attributes that both formats can hold, whatever their names."""
    plain: Network = nx.MultiGraph()
    identity = {place: f"n{i}" for i, place in enumerate(network.nodes)}
    for place, data in network.nodes(data=True):
        plain.add_node(
            identity[place],
            value=printable(data["value"], limit=1000),
            axis=data["axis"],
            groups=data["groups"],
            parameter=data["parameter"],
        )
    for first, second, data in network.edges(data=True):
        plain.add_edge(
            identity[first], identity[second], op=printable(data["op"]),
            node=printable(data["node"], limit=1000),
        )  # fmt: skip
    return plain


def _dot(graph: Network) -> str:
    lines = ["graph dependencies {", "  node [shape=ellipse];"]
    for name, data in graph.nodes(data=True):
        label = _quoted(f"{data['value']} [{data['axis']}]\n{data['groups']}")
        shape = ", shape=box" if data["parameter"] else ""
        lines.append(f"  {name} [label={label}{shape}];")
    for first, second, data in graph.edges(data=True):
        lines.append(f"  {first} -- {second} [label={_quoted(data['op'])}];")
    return "\n".join([*lines, "}"]) + "\n"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
