"""Where the time goes, by node of the model, before and after.

What a profile calls a kernel is one node or several: the runtime fuses a convolution with the
activation after it and calls the result by the value that comes out. Kernels are given back to the
model's nodes here, so that two models compare node by node whatever was fused.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from onnxprune.bench.document import OperatorEntry, OperatorPair, OpTotal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onnxprune.core.graph import Graph, Node
    from onnxprune.providers.placement import Kernel

__all__ = ["attribute", "macs_share", "match", "total_by_op"]

_PREFIX = "fused "
_SUFFIX = "_nchwc"
_FARTHEST = 8


def attribute(
    kernels: Sequence[Kernel], graph: Graph, macs: Mapping[str, int]
) -> list[OperatorEntry]:
    """Return the time of each node, the longest first.

    Args:
        kernels: What ran.
        graph: The model's nodes.
        macs: Multiply-accumulates by node.
    """
    nodes = {node.name: node for node in graph.all_nodes() if node.name}
    makers = {key: node for node in graph.all_nodes() for key in node.outputs if key}
    times: dict[tuple[str, str, str], float] = defaultdict(float)
    for kernel in kernels:
        owner = _owner(kernel, nodes, makers)
        times[owner or f"({kernel.op})", kernel.op, kernel.provider] += kernel.us
    entries = [
        OperatorEntry(node=node, op=op, provider=provider, us=round(us, 3), macs=macs.get(node))
        for (node, op, provider), us in times.items()
    ]
    return sorted(entries, key=lambda entry: -entry.us)


def match(before: Sequence[OperatorEntry], after: Sequence[OperatorEntry]) -> list[OperatorPair]:
    """Return the nodes of two runs side by side, the largest change first."""
    first, second = _by_node(before), _by_node(after)
    pairs = []
    for node in first | second:
        one, other = first.get(node), second.get(node)
        pairs.append(
            OperatorPair(
                node=node,
                op=one.op if one else other.op if other else "",
                before_us=one.us if one else None,
                after_us=other.us if other else None,
                before_macs=one.macs if one else None,
                after_macs=other.macs if other else None,
            )
        )
    return sorted(pairs, key=lambda p: -abs((p.before_us or 0.0) - (p.after_us or 0.0)))


def total_by_op(before: Sequence[OperatorEntry], after: Sequence[OperatorEntry]) -> list[OpTotal]:
    """Return the time of each operator in two runs, the largest change first."""
    sides = []
    for entries in (before, after):
        times: dict[str, list[float]] = defaultdict(list)
        for entry in entries:
            times[entry.op].append(entry.us)
        sides.append(times)
    first, second = sides
    totals = [
        OpTotal(
            op=op, before_us=round(sum(first.get(op, ())), 3),
            after_us=round(sum(second.get(op, ())), 3),
            before_nodes=len(first.get(op, ())), after_nodes=len(second.get(op, ())),
        )
        for op in first | second
    ]  # fmt: skip
    return sorted(totals, key=lambda t: -abs(t.before_us - t.after_us))


def macs_share(
    placed: Mapping[str, Sequence[str]] | None, provider: str, macs: Mapping[str, int]
) -> float | None:
    """Return the share of multiply-accumulates on a provider.

    Args:
        placed: Names of nodes by provider; None where the runtime does not tell.
        provider: Which one.
        macs: Multiply-accumulates by node.

    Returns:
        None where the runtime's nodes are not the model's any more.

    Examples:
        >>> macs_share({"A": ["conv"], "B": ["gemm", "relu"]}, "A", {"conv": 90, "gemm": 10})
        0.9
    """
    if placed is None:
        return None
    if len(placed) == 1:
        return float(provider in placed)
    found = {name: _counted(names, macs) for name, names in placed.items()}
    total = sum(found.values())
    whole = sum(macs.values())
    if not total or total < 0.99 * whole:
        return None
    return found.get(provider, 0) / total


def _counted(names: Sequence[str], macs: Mapping[str, int]) -> int:
    return sum(macs.get(_known(name, macs), 0) for name in set(names))


def _known(name: str, table: Mapping[str, object]) -> str:
    """Return the longest beginning of a name that is in a table: fusions add to their first."""
    while name and name not in table:
        name = name.rpartition("/")[0]
    return name


def _by_node(entries: Sequence[OperatorEntry]) -> dict[str, OperatorEntry]:
    found: dict[str, OperatorEntry] = {}
    for entry in entries:
        known = found.get(entry.node)
        if known is not None:
            entry = known.model_copy(update={"us": known.us + entry.us})  # noqa: PLW2901
        found[entry.node] = entry
    return found


def _owner(kernel: Kernel, nodes: Mapping[str, Node], makers: Mapping[str, Node]) -> str:
    """Return the node that a kernel does the work of, "" for none of the model's."""
    name = kernel.name.removeprefix(_PREFIX).removesuffix(_SUFFIX)
    if known := _known(name, nodes):
        return known
    node = makers.get(name)
    for _ in range(_FARTHEST):  # from the last value of what was fused back to its first node
        if node is None or node.op == kernel.op:
            break
        node = next((makers[key] for key in node.inputs if key in makers), None)
    return node.name if node is not None else ""
