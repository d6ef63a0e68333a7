"""Wide streams with many consumers: the shapes that pruned networks and awkward inputs have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    Generator = np.random.Generator
    Stream = tuple[list[set[int]], list[range]]


def runs_of_hidden_order(generator: Generator, n: int, consumers: int) -> Stream:
    """Every set is a run of one hidden order, so an order without copies exists."""
    hidden = generator.permutation(n)
    return [_run(generator, hidden) for _ in range(consumers)], []


def runs_and_some_at_random(generator: Generator, n: int, consumers: int) -> Stream:
    """The same, but a quarter of the sets is drawn at random."""
    sets, _ = runs_of_hidden_order(generator, n, consumers)
    for index in range(0, consumers, 4):
        sets[index] = _top(generator.random(n), n // 2)
    return sets, []


def runs_slightly_off(generator: Generator, n: int, consumers: int) -> Stream:
    """The same, but a tenth of the sets has a few channels too many or too few."""
    sets, _ = runs_of_hidden_order(generator, n, consumers)
    return [
        s ^ set(generator.integers(0, n, 4).tolist()) if generator.random() < 0.1 else s
        for s in sets
    ], []


def independent_halves(generator: Generator, n: int, consumers: int) -> Stream:
    """Every consumer keeps the half of the channels that it would draw at random."""
    return [_top(generator.random(n), n // 2) for _ in range(consumers)], []


def similar_scores(generator: Generator, n: int, consumers: int) -> Stream:
    """Every consumer keeps the best channels by scores that are largely shared."""
    shared = generator.normal(size=n)
    shares = generator.uniform(0.3, 0.8, consumers)
    noise = generator.normal(size=(consumers, n))
    pairs = zip(noise, shares, strict=True)
    return [_top(shared + 0.3 * own, int(share * n)) for own, share in pairs], []


def nested(generator: Generator, n: int, consumers: int) -> Stream:
    """One common ranking, different thresholds."""
    scores = generator.normal(size=n)
    return [_top(scores, int(generator.integers(1, n))) for _ in range(consumers)], []


def unions_of_few_parts(generator: Generator, n: int, consumers: int) -> Stream:
    """Sets are unions of a dozen parts: few classes, conflicts of every size."""
    part = generator.integers(0, 12, n)
    chosen = generator.random((consumers, 12)) < 0.3
    return [set(np.flatnonzero(row[part]).tolist()) for row in chosen], []


def cycle(generator: Generator, n: int, consumers: int) -> Stream:
    """Every set overlaps the next one and the last the first: all fit but one."""
    hidden = generator.permutation(n)
    step = n // consumers
    return [
        set(np.take(hidden, np.arange(i * step, (i + 2) * step), mode="wrap").tolist())
        for i in range(consumers)
    ], []


def heads(generator: Generator, n: int, consumers: int) -> Stream:
    """Blocks of eight channels stay together; sets are runs of a hidden order of the blocks."""
    blocks = [range(start, start + 8) for start in range(0, n, 8)]
    hidden = generator.permutation(len(blocks))
    runs = [_run(generator, hidden) for _ in range(consumers)]
    return [{channel for index in run for channel in blocks[index]} for run in runs], blocks


def operands(generator: Generator, n: int, consumers: int) -> Stream:
    """A concatenation of 32: half of the consumers read one operand, half the whole."""
    blocks = [range(start, start + n // 32) for start in range(0, n, n // 32)]
    sets = []
    for index in range(consumers):
        block = blocks[int(generator.integers(32))]
        inner = _top(generator.random(len(block)), len(block) // 2)
        outer = _top(generator.random(n), n // 2)
        sets.append(outer if index % 2 else {block.start + channel for channel in inner})
    return sets, blocks


KINDS: tuple[Callable[[Generator, int, int], Stream], ...] = (
    runs_of_hidden_order, nested, heads, runs_slightly_off, runs_and_some_at_random,
    similar_scores, independent_halves, unions_of_few_parts, cycle, operands,
)  # fmt: skip


def _run(generator: Generator, hidden: np.ndarray) -> set[int]:
    first, last = sorted(generator.integers(0, len(hidden) + 1, 2).tolist())
    return set(hidden[first:last].tolist())


def _top(scores: np.ndarray, count: int) -> set[int]:
    return set(np.argsort(scores)[len(scores) - count :].tolist())
