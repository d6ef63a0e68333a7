"""Judge, without the device, which nodes a provider takes."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from onnxprune.mobile.document import PlacementEntry, RefusedEntry
from onnxprune.providers.registry import find_provider

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onnxprune.core.graph import Graph, Node
    from onnxprune.core.shapes import Shapes
    from onnxprune.mobile.support import Support

__all__ = ["Network", "judge"]

_GOOD_SHARE = 0.95
_PARTLY_SHARE = 0.6
_FEW_PARTITIONS = 2
_DIMENSIONS = re.compile(r"Only (?:(\d)D/)?(\d)D|^(\d)D input", re.IGNORECASE)
_CONSTANT = re.compile(r"should be constant|must be constant|must have constant", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Network:
    """A model at fixed sizes.

    Attributes:
        graph: its nodes.
        shapes: shapes of its values.
        macs: multiply-accumulates by node.
        precision: what it computes in.
        fixed: whether all input sizes are fixed.
    """

    graph: Graph
    shapes: Shapes
    macs: Mapping[str, int]
    precision: str
    fixed: bool = True


def judge(network: Network, support: Support) -> PlacementEntry:
    """Say what a provider takes of a network.

    Args:
        network: the model.
        support: what the provider takes.
    """
    nodes = network.graph.nodes
    reasons = {id(node): _refusal(network, node, support) for node in nodes}
    taken = [node for node in nodes if not reasons[id(node)]]
    total = sum(network.macs.get(n.name, 0) for n in nodes)
    macs = sum(network.macs.get(n.name, 0) for n in taken)
    nodes_share = len(taken) / len(nodes) if nodes else 1.0
    macs_share = macs / total if total else nodes_share
    partitions = _partitions(nodes, {id(n) for n in taken})
    verdict, reason = _verdict(network, support, macs_share, partitions)
    return PlacementEntry(
        provider=support.provider,
        variant=support.variant,
        verdict=verdict,
        reason=reason,
        nodes_share=round(nodes_share, 4),
        macs_share=round(macs_share, 4),
        partitions=partitions,
        refused=_refused(network, nodes, reasons),
        unchecked={
            n.op: support.operators[n.domain, n.op]
            for n in taken
            if _is_unchecked(support.operators[n.domain, n.op])
        },
        source=support.source,
    )


def _verdict(
    network: Network, support: Support, share: float, partitions: int
) -> tuple[Literal["good", "partly", "poor"], str]:
    if network.precision not in support.precision:
        wanted = " or ".join(support.precision)
        return "poor", f"the model computes in {network.precision}, wanted is {wanted}"
    where = f"{share:.0%} of the multiply-accumulates in at least {partitions} partitions"
    if share >= _GOOD_SHARE and partitions <= _FEW_PARTITIONS:
        return "good", where
    return ("partly" if share >= _PARTLY_SHARE else "poor"), where


def _refusal(network: Network, node: Node, support: Support) -> str:
    """Return why a provider does not take a node, "" if nothing speaks against it."""
    note = support.operators.get((node.domain, node.op))
    if note is None:
        return "not in its list"
    if node.bodies:
        return "control flow"
    shapes = [network.shapes.shape(k) for k in (*node.inputs[:1], *node.outputs[:1]) if k]
    needs_sizes = find_provider(support.provider).fixed_shapes == "required"
    if needs_sizes and any(shape is None for shape in shapes):
        return "its shape is open"
    found = _DIMENSIONS.search(note)
    if found and shapes and shapes[0] is not None:
        allowed = {int(d) + (0 if found[3] else 2) for d in found.groups() if d}
        if len(shapes[0]) not in allowed:
            return f"{len(shapes[0]) - 2} spatial dimensions"
    if _CONSTANT.search(note) and node.op in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
        constant = network.graph.parameters
        if any(k and k not in constant for k in node.inputs[1:]):
            return "its weight is computed"
    return ""


def _is_unchecked(note: str) -> bool:
    """Tell whether a note holds a condition beyond those that `_refusal` looks at."""
    rest = [s for s in re.split(r"(?<=\.) ", note) if s]
    return any(not _DIMENSIONS.search(s) and not _CONSTANT.search(s) for s in rest)


def _partitions(nodes: Sequence[Node], taken: set[int]) -> int:
    """Return the least number of stretches in which a provider can run what it takes.

    The number of changes between the provider and the CPU on the longest chain to each node: nodes
    with equal numbers can run together.
    """
    depth: dict[str, int] = {}
    kind: dict[str, bool] = {}
    stretches: set[int] = set()
    for node in nodes:
        mine = id(node) in taken
        level = 0
        for key in node.inputs:
            if key in depth:
                level = max(level, depth[key] + (kind[key] != mine))
        for key in node.outputs:
            depth[key], kind[key] = level, mine
        if mine:
            stretches.add(level)
    return len(stretches)


def _refused(
    network: Network, nodes: Sequence[Node], reasons: Mapping[int, str]
) -> list[RefusedEntry]:
    counts: Counter[tuple[str, str]] = Counter()
    macs: defaultdict[tuple[str, str], int] = defaultdict(int)
    for node in nodes:
        reason = reasons[id(node)]
        if reason:
            counts[node.op, reason] += 1
            macs[node.op, reason] += network.macs.get(node.name, 0)
    entries = [
        RefusedEntry(op=op, nodes=count, macs=macs[op, reason], reason=reason)
        for (op, reason), count in counts.items()
    ]
    return sorted(entries, key=lambda e: (-e.macs, -e.nodes, e.op))
