"""The path heuristic of UPSCALE (arXiv 2307.08771), the baseline for `best_order`.

Consumers are nodes, joined where they share channels. Consumers along a path of the graph, each of
which shares channels only with the one before and the one after, can all have contiguous channels;
so the heaviest such paths are laid one after the other. A consumer whose channels are a subset of
another's is ordered inside that one, which is where the heuristic falls short: the inner order is
not followed any more once the outer consumer shares channels with a neighbour.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

PATH_STEPS = 50_000
"""The search for heaviest paths is exponential: after so many steps it takes the best so far."""


def upscale_order(n: int, sets: Sequence[Collection[int]]) -> list[int]:
    """Order channels as UPSCALE's published code does.

    Args:
        n: number of channels.
        sets: the channels that each consumer wants.

    Returns:
        All channels; those that nobody wants come last.

    Examples:
        >>> upscale_order(6, [{1, 3, 5}, {1, 3}, {1, 4}])
        [3, 5, 1, 4, 0, 2]
    """
    order = _ordered([frozenset(wanted) for wanted in sets if wanted])
    placed = set(order)
    return order + [channel for channel in range(n) if channel not in placed]


def _ordered(nodes: Sequence[frozenset[int]]) -> list[int]:
    children: dict[int, list[int]] = {index: [] for index in range(len(nodes))}
    for index, node in enumerate(nodes):
        parent = next((o for o in children if o != index and node <= nodes[o]), None)
        if parent is not None:
            children[parent] += [index, *children.pop(index)]
    members = {
        index: _ordered_members(nodes[index], [nodes[child] for child in below])
        for index, below in children.items()
    }
    order: dict[int, None] = {}
    for path in _paths({index: nodes[index] for index in children}):
        nothing: frozenset[int] = frozenset()
        for place, index in enumerate(path):
            before = nodes[path[place - 1]] if place else nothing
            after = nodes[path[place + 1]] if place + 1 < len(path) else nothing
            for wanted in (
                [c for c in members[index] if c in before],
                [c for c in members[index] if c not in before and c not in after],
                [c for c in members[index] if c in after],
            ):
                order.update(dict.fromkeys(wanted))
    return list(order)


def _ordered_members(node: frozenset[int], below: Sequence[frozenset[int]]) -> list[int]:
    first = _ordered(below) if below else []
    return first + sorted(node.difference(first))


def _paths(nodes: dict[int, frozenset[int]]) -> list[list[int]]:
    """Return disjoint paths that together use every node, the heaviest first."""
    search = _PathSearch(nodes)
    unused = sum(1 << index for index in nodes)
    paths = []
    while unused:
        paths.append(search.heaviest(unused))
        unused &= ~sum(1 << index for index in paths[-1])
    return paths


class _PathSearch:
    """Depth-first search for the path with the most channels, shared ones counted once."""

    def __init__(self, nodes: dict[int, frozenset[int]]) -> None:
        self._size = {index: len(node) for index, node in nodes.items()}
        self._shared = {
            a: {b: len(nodes[a] & nodes[b]) for b in nodes if b != a and nodes[a] & nodes[b]}
            for a in nodes
        }
        self._neighbours = {a: sum(1 << b for b in shared) for a, shared in self._shared.items()}
        self._steps = 0
        self._weight = 0
        self._path: list[int] = []

    def heaviest(self, unused: int) -> list[int]:
        """Return the heaviest path through unused nodes (as bits), the first of equal ones."""
        self._weight = 0
        for start, size in self._size.items():
            if unused >> start & 1:
                self._walk([start], size, unused & ~(1 << start))
        return self._path

    def _walk(self, path: list[int], weight: int, open_: int) -> None:
        self._steps += 1
        if weight > self._weight:
            self._weight, self._path = weight, path
        last = path[-1]
        # The other neighbours of the node that is left must not turn up further along.
        further = open_ & ~self._neighbours[last]
        for index, shared in self._shared[last].items():
            if open_ >> index & 1 and self._steps < PATH_STEPS:
                self._walk([*path, index], weight + self._size[index] - shared, further)
