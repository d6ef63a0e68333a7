"""Where samples come from, and which of them are held back to judge the result with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from onnxprune.calibration.code import call_entry, take_feeds
from onnxprune.calibration.loading import (
    SYNTHETIC_WARNING,
    load_calibration,
    synthetic_calibration,
)
from onnxprune.calibration.samples import check_count
from onnxprune.runtime.batches import single_samples
from onnxprune.runtime.feeds import Feed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnxprune.runtime.feeds import FeedRecipe
    from onnxprune.runtime.inputs import InputSpec

__all__ = ["SYNTHETIC", "Entry", "SampleSet", "Source", "collect_samples", "hold_back"]

SYNTHETIC: Final = "synthetic"
"""The word that asks for made-up samples where a path is expected."""

_EVERY: Final = 8
"""One sample of so many is held back, two at least."""

_MOST_HELD: Final = 32
"""More would sharpen the judgement little, and are worth more as samples to fit on."""

_FEWEST: Final = 10
"""Fewer samples than this are all fitted on: one to judge with would tell nothing."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A function of the user's own code that yields feeds, as "module:function"."""

    name: str


Source: TypeAlias = str | Path | Entry | Iterable[Feed] | Callable[[], Iterable[Feed]]


@dataclass(frozen=True, slots=True)
class SampleSet:
    """Unlabelled samples.

    Attributes:
        fit: those that channels are chosen and weights repaired with.
        held: those that neither has seen, to judge the result with; none where there are few.
        notes: what the user should know about them.
    """

    fit: list[Feed]
    held: list[Feed]
    notes: tuple[str, ...] = ()


def collect_samples(
    source: Source,
    specs: Sequence[InputSpec],
    *,
    recipe: Callable[[], FeedRecipe],
    samples: int,
    seed: int = 0,
) -> SampleSet:
    """Read samples from wherever they are, and hold some back.

    More than wanted are taken where there are so many, so that as many as wanted are left when some
    are held back.

    Args:
        source: A file, a directory, `synthetic`, feeds, or what yields feeds.
        specs: The inputs of the model.
        recipe: Returns how to make samples up; only called where that is wanted.
        samples: How many are wanted to fit on.
        seed: What is drawn is derived from this.

    Raises:
        InvalidConfigError: The data is missing, unreadable, or not what the inputs want.
    """
    check_count(samples)
    wanted = samples + min(_MOST_HELD, max(2, -(-samples // (_EVERY - 1))))
    notes: tuple[str, ...] = ()
    if isinstance(source, Entry):
        where = f"--calibration-entry '{source.name}'"
        feeds = call_entry(
            source.name, option="--calibration-entry",
            use=lambda found: take_feeds(found, specs, samples=wanted, where=where),
        )  # fmt: skip
    elif source == SYNTHETIC:
        feeds = synthetic_calibration(recipe(), samples=wanted, seed=seed)
        notes = (SYNTHETIC_WARNING,)
    elif isinstance(source, str | Path):
        feeds = load_calibration(source, specs, samples=wanted, seed=seed)
    else:
        given = source() if callable(source) else source
        feeds = take_feeds(given, specs, samples=wanted, where="calibration")
    fit, held = hold_back(single_samples(feeds, specs)[:wanted])
    if not held:
        notes += (f"{len(fit)} samples are too few to hold some back: fidelity is not measured",)
    return SampleSet(fit, held, notes)


def hold_back(feeds: Sequence[Feed]) -> tuple[list[Feed], list[Feed]]:
    """Split samples into those to fit on and every eighth, to judge with: two at least, 32 at most.

    Examples:
        >>> for count in (9, 10, 128, 1000):
        ...     print(*(len(part) for part in hold_back([{}] * count)))
        9 0
        8 2
        112 16
        968 32
    """
    total = len(feeds)
    if total < _FEWEST:
        return list(feeds), []
    count = min(_MOST_HELD, max(2, -(-total // _EVERY)))
    chosen = {(number + 1) * total // count - 1 for number in range(count)}
    fit = [feed for number, feed in enumerate(feeds) if number not in chosen]
    return fit, [feeds[number] for number in sorted(chosen)]
