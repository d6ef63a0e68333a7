"""The order of a stream's channels that copies the fewest bytes.

First the natural order, then any order in which every consumer finds its channels in one run, then
the heaviest collection of consumers that can have theirs so. Among orders that copy equally many
bytes the one with fewer runs is taken, for consumers that are served by several slices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.core.order.classes import Classes, divide, membership
from onnxprune.core.order.pq_tree import Node, frontier, require_all, universal
from onnxprune.core.order.runs import fewer_runs
from onnxprune.core.order.search import Search
from onnxprune.core.order.upscale import upscale_order
from onnxprune.errors import InternalError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

EFFORT = 400_000
"""Default steps of branch and bound: some tenths of a second."""


@dataclass(frozen=True, slots=True)
class Order:
    """An order of channels and what it is worth.

    Attributes:
        order: all channels; position p of the new stream holds channel `order[p]`.
        runs: per set, in how many runs its channels lie; 0 for an empty set.
        bytes_copied: what the sets in more than one run cost.
        cost: the same plus the cost of further runs, when that was asked for.
        exact: whether no other order has a lower cost.
    """

    order: tuple[int, ...]
    runs: tuple[int, ...]
    bytes_copied: float
    cost: float
    exact: bool = False


def consecutive_order(
    n: int, sets: Sequence[Collection[int]], *, blocks: Sequence[Collection[int]] = ()
) -> list[int] | None:
    """Find an order of channels in which every set is one contiguous run.

    Args:
        n: number of channels.
        sets: the channels that each consumer wants.
        blocks: channels that must stay together as well, such as the operands of a concatenation.

    Returns:
        Such an order, the natural one where it will do; None when there is none.

    Examples:
        >>> consecutive_order(6, [{1, 3, 5}, {1, 3}, {1, 4}])
        [5, 3, 1, 4, 0, 2]
        >>> consecutive_order(4, [{0, 1}, {0, 2}, {0, 3}])
    """
    wanted = [*blocks, *sets]
    natural = list(range(n))
    if max(_runs(_contains(n, wanted), natural), default=0) <= 1:
        return natural
    classes = divide(n, wanted)
    # k runs have 2 k ends, which lie in no more than 2 k - 1 classes of wanted channels.
    if sum(signature != 0 for signature in classes.signatures) > 2 * len(wanted) - 1:
        return None
    tree = _require_sets(universal(len(classes.members)), classes, range(len(wanted)))
    return None if tree is None else classes.channels(frontier(tree))


def evaluate_order(
    order: Sequence[int],
    sets: Sequence[Collection[int]],
    weights: Sequence[float],
    *,
    run_cost: float = 0,
) -> Order:
    """Return what an order of channels is worth.

    Args:
        order: all channels.
        sets: the channels that each consumer wants.
        weights: bytes of one channel, as each consumer reads it.
        run_cost: what every run of a set after its first costs, in bytes.

    Examples:
        >>> evaluate_order([0, 1, 2], [{0, 1}, {0, 2}], [4, 4]).bytes_copied
        8
    """
    runs = _runs(_contains(len(order), sets), order)
    copied = sum(
        len(wanted) * weight
        for wanted, weight, count in zip(sets, weights, runs, strict=True)
        if count > 1
    )
    further = sum(max(0, count - 1) for count in runs)
    return Order(tuple(order), tuple(runs), copied, copied + run_cost * further)


def best_order(
    n: int,
    sets: Sequence[Collection[int]],
    weights: Sequence[float],
    *,
    blocks: Sequence[Collection[int]] = (),
    run_cost: float = 0,
    effort: int = EFFORT,
) -> Order:
    """Find the order of channels that copies the fewest bytes.

    A set in one run costs nothing, any other the bytes of all its channels. The result depends on
    nothing but the arguments and is never worse than `upscale_order`, unless `blocks` forbid that.

    Args:
        n: number of channels.
        sets: the channels that each consumer wants.
        weights: bytes of one channel, as each consumer reads it (spatial size x element size).
        blocks: channels that must stay together at any cost, such as a concatenation's operands.
        run_cost: what every run of a set after its first costs, in bytes. The minimum is then a
            good one, not always the least.
        effort: steps of branch and bound before the best order so far is taken.

    Raises:
        InternalError: if no order keeps all blocks together.

    Examples:
        >>> best_order(4, [{0, 1}, {0, 2}, {0, 3}, {2, 3}], [4, 1, 4, 4])
        Order(order=(1, 0, 3, 2), runs=(1, 2, 1, 1), bytes_copied=2, cost=2, exact=True)
    """
    natural = evaluate_order(range(n), sets, weights, run_cost=run_cost)
    if not natural.cost and max(_runs(_contains(n, blocks), natural.order), default=0) <= 1:
        return _proven(natural)
    prices: dict[frozenset[int], float] = {}
    for wanted, weight in zip(map(frozenset, sets), weights, strict=True):
        if 1 < len(wanted) < n:
            prices[wanted] = prices.get(wanted, 0) + len(wanted) * weight + run_cost
    consumers = list(prices)
    kept_whole = [block for block in set(map(frozenset, blocks)) if 1 < len(block) < n]
    kept_whole.sort(key=sorted)
    classes = divide(n, [*consumers, *kept_whole])
    bound = range(len(consumers), len(consumers) + len(kept_whole))
    tree = _require_sets(universal(len(classes.members)), classes, bound)
    if tree is None:
        message = f"no order of {n} channels keeps each of {len(kept_whole)} blocks together"
        raise InternalError(message)
    mask = (1 << len(consumers)) - 1
    signatures = [signature & mask for signature in classes.signatures]
    search = Search(tree, signatures, list(prices.values()), effort=effort)
    search.run()
    best = search.tree(search.best)
    assert best is not None, "a collection was chosen that has no order"
    orders = _arrangements(frontier(best), classes, len(consumers), search.best, run_cost=run_cost)
    if not search.proven or run_cost:
        orders.append(upscale_order(n, sets))
    found = [
        evaluate_order(order, sets, weights, run_cost=run_cost)
        for order in orders
        if max(_runs(_contains(n, blocks), order), default=0) <= 1
    ]
    least = min(found, key=lambda order: (order.cost, sum(order.runs)))
    return _proven(least) if not least.cost or (search.proven and not run_cost) else least


def _proven(order: Order) -> Order:
    return Order(order.order, order.runs, order.bytes_copied, order.cost, exact=True)


def _arrangements(
    sequence: Sequence[int], classes: Classes, consumers: int, served: int, *, run_cost: float
) -> list[list[int]]:
    """Return a sequence of classes, and others with fewer runs, as orders of channels."""
    sequences = [list(sequence)]
    everything = (1 << consumers) - 1
    if served != everything:
        count = max(signature.bit_length() for signature in classes.signatures)
        contains = membership(classes.signatures, count)
        # More than all the runs there can be: what is in one piece stays so.
        whole = 2.0 * (1 + count * len(sequence))
        held = [
            whole if index >= consumers or served >> index & 1 else 1.0 for index in range(count)
        ]
        sequences.append(fewer_runs(sequence, contains, held))
        if run_cost:
            loose = [whole if index >= consumers else 1.0 for index in range(count)]
            sequences += [fewer_runs(start, contains, loose) for start in sequences]
    return [classes.channels(found) for found in sequences]


def _require_sets(tree: Node, classes: Classes, indices: Sequence[int]) -> Node | None:
    return require_all(tree, (classes.with_set(index) for index in indices))


def _contains(n: int, sets: Sequence[Collection[int]]) -> NDArray[np.bool_]:
    """Return which sets contain which channels [sets channels]."""
    contains = np.zeros((len(sets), n), bool)
    for row, wanted in zip(contains, sets, strict=True):
        row[list(wanted)] = True
    return contains


def _runs(contains: NDArray[np.bool_], order: Sequence[int]) -> list[int]:
    """Return into how many runs each set falls in an order."""
    if not contains.size:
        return [0] * len(contains)
    ordered = contains[:, list(order)]
    entered = (ordered[:, 1:] & ~ordered[:, :-1]).sum(1) + ordered[:, 0]
    return [int(count) for count in entered]
