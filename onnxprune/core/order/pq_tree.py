"""PQ-trees: all orders of some leaves in which given sets are contiguous, as one tree.

Booth and Lueker's structure (1976). The children of a P-node may be permuted at will, those of a
Q-node only reversed; the orders that a tree stands for are its leaves read from left to right.
Asking for one more set to be contiguous either reshapes the tree or fails.

Nodes are immutable and know their leaves as the bits of an integer. So "none, some or all of these
leaves are wanted" is one operation, a step visits only nodes that are partly wanted and their
children, a failed step leaves nothing to undo, and a search may keep the trees of many branches.
"""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Node(NamedTuple):
    """A node of a PQ-tree.

    Attributes:
        leaves: the leaves below, as bits.
        children: nodes from left to right; none for a leaf.
        ordered: whether the children may only be reversed (Q-node), not permuted (P-node).
    """

    leaves: int
    children: tuple[Node, ...] = ()
    ordered: bool = False


def universal(count: int) -> Node:
    """Return the tree of all orders of `count` leaves.

    Examples:
        >>> frontier(universal(3))
        [0, 1, 2]
    """
    return _free([Node(1 << leaf) for leaf in range(count)])


def frontier(tree: Node) -> list[int]:
    """Return one of the orders that a tree stands for."""
    order = []
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if node.children:
            waiting.extend(reversed(node.children))
        elif node.leaves:
            order.append(node.leaves.bit_length() - 1)
    return order


def require(tree: Node, wanted: int) -> Node | None:
    """Return the tree of those orders in which the wanted leaves are contiguous.

    Args:
        tree: any tree.
        wanted: leaves of it, as bits.

    Returns:
        The new tree, or None when no order of the old one will do.

    Examples:
        >>> tree = require(universal(4), 0b1010)
        >>> frontier(tree)
        [1, 3, 0, 2]
    """
    above: list[tuple[Node, int]] = []
    node = tree
    while node.leaves != wanted:  # down to the lowest node with all wanted leaves below it
        place = next((i for i, c in enumerate(node.children) if c.leaves & wanted), None)
        if place is None or wanted & ~node.children[place].leaves:
            break
        above.append((node, place))
        node = node.children[place]
    if node.leaves == wanted or not wanted:
        return tree
    new = _gather_ordered(node, wanted) if node.ordered else _gather_free(node, wanted)
    if new is None:
        return None
    for parent, place in reversed(above):
        children = (*parent.children[:place], new, *parent.children[place + 1 :])
        new = Node(parent.leaves, children, parent.ordered)
    return new


def require_all(tree: Node, sets: Iterable[int]) -> Node | None:
    """Return the tree of those orders in which each of the sets is contiguous, or None."""
    current: Node | None = tree
    for wanted in sets:
        if current is None:
            return None
        current = require(current, wanted)
    return current


def _free(nodes: Sequence[Node]) -> Node:
    """Join nodes, at least one unless the tree has no leaf, in any order."""
    if len(nodes) == 1:
        return nodes[0]
    return Node(reduce(or_, (n.leaves for n in nodes), 0), tuple(nodes))


def _sort(node: Node, wanted: int) -> tuple[list[Node], list[Node], list[Node]]:
    """Return the children with no, some and only wanted leaves."""
    empty, partial, full = [], [], []
    for child in node.children:
        common = child.leaves & wanted
        if not common:
            empty.append(child)
        elif common == child.leaves:
            full.append(child)
        else:
            partial.append(child)
    return empty, partial, full


def _gather_free(node: Node, wanted: int) -> Node | None:
    """Bring the wanted leaves together below a P-node with several children that have some."""
    empty, partial, full = _sort(node, wanted)
    if len(partial) > 2:
        return None
    sides = [_line_up(child, wanted) for child in partial]
    middle = [_free(full)] if full else []
    together = middle
    for turn, side in enumerate(sides):
        if side is None:
            return None
        together = together + side[::-1] if turn else side + together
    core = (
        Node(reduce(or_, (n.leaves for n in together)), tuple(together), ordered=True)
        if partial
        else middle[0]
    )
    return Node(node.leaves, (core, *empty)) if empty else core


def _gather_ordered(node: Node, wanted: int) -> Node | None:
    """Bring the wanted leaves together below a Q-node: they must be one stretch of children."""
    children: list[Node] = []
    begun = ended = False
    for child in node.children:
        common = child.leaves & wanted
        if not common:
            ended = begun
            children.append(child)
            continue
        if ended:
            return None
        if common == child.leaves:
            children.append(child)
        else:
            side = _line_up(child, wanted)
            if side is None:
                return None
            children.extend(side[::-1] if begun else side)
            ended = begun
        begun = True
    return Node(node.leaves, tuple(children), ordered=True)


def _line_up(node: Node, wanted: int) -> list[Node] | None:
    """Return the parts of a partly wanted node in fixed order, unwanted leaves first."""
    left: list[Node] = []
    right: list[Node] = []
    while True:
        empty, partial, full = _sort(node, wanted)
        if len(partial) > 1:
            return None
        if node.ordered:
            if not _rises(node, wanted):
                node = node._replace(children=node.children[::-1])
                empty, full = empty[::-1], full[::-1]
                if not _rises(node, wanted):
                    return None
            left += empty
            right += full[::-1]
        else:
            left += [_free(empty)] if empty else []
            right += [_free(full)] if full else []
        if not partial:
            return left + right[::-1]
        node = partial[0]


def _rises(node: Node, wanted: int) -> bool:
    """Return whether children without wanted leaves come first and wanted ones last."""
    highest = 0
    for child in node.children:
        common = child.leaves & wanted
        rank = 0 if not common else 2 if common == child.leaves else 1
        if rank < highest:
            return False
        highest = rank
    return True
