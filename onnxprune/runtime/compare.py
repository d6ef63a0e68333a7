"""Run two models on the same feeds and measure how their outputs differ.

Meant for `isolate.run_isolated`: the models may be a stranger's, and what comes back is small. At
most two sessions are open at a time, and the outputs of one feed are held.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.errors import InvalidModelError, OnnxPruneError, VerificationError
from onnxprune.runtime.difference import OutputDifference, measure
from onnxprune.runtime.feeds import FeedRecipe
from onnxprune.runtime.session import open_session, run_outputs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from onnxprune.runtime.feeds import Feed, FeedValue
    from onnxprune.runtime.session import ProviderRequest, Session

__all__ = [
    "Comparison",
    "LevelComparison",
    "OutputDifference",
    "compare_models",
    "compare_sessions",
]

# Without it, the runtime quantises activations in front of 8-bit weights.
_FULL_PRECISION = {"session.qdq_matmulnbits_accuracy_level": "1"}

# Two units in the last place of single precision.
_LAST_BITS = 2.0**-22

_ORIGINAL = "the original"
_PRUNED = "the pruned model"


@dataclass(frozen=True, slots=True)
class LevelComparison:
    """What was measured with the runtime's optimisation on, or off."""

    optimize: bool
    outputs: tuple[OutputDifference, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a pruned model differs from the original.

    Attributes:
        levels: A result for each setting of the runtime's optimisation.
        noise: The original against itself, which is the least a tolerance must allow for: with one
            setting against the other, and with inputs that differ in their last bits.
        feeds: Number of feeds.
    """

    levels: tuple[LevelComparison, ...]
    noise: tuple[OutputDifference, ...]
    feeds: int


def compare_models(  # how to run, all with defaults
    original: bytes | str | Path,
    pruned: bytes | str | Path,
    *,
    feeds: Sequence[Feed | FeedRecipe],
    optimize: Sequence[bool] = (False, True),
    threads: int = 1,
    providers: Sequence[ProviderRequest] = ("CPUExecutionProvider",),
    progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Run two models on the same feeds and return how their outputs differ.

    Args:
        original: The first model, which differences are relative to.
        pruned: The second model.
        feeds: Values for the inputs, or recipes to make them.
        optimize: Settings of the runtime's optimisation to compare at.
        threads: Threads within an operator.
        providers: Execution providers for both models.
        progress: Called with (done, total) after each feed.

    Raises:
        InvalidModelError: The original cannot be loaded, or cannot be run on a feed.
        VerificationError: The pruned model cannot, and the original can.
        ProviderUnavailableError: A provider is missing, or does not take a model.
        MemoryError: A model or a run needs more memory than there is.
    """
    settings = tuple(dict.fromkeys(optimize))
    total = len(feeds) * (2 * len(settings) - 1)
    done = 0

    def made() -> Iterator[Feed]:
        nonlocal done
        for feed in _made(feeds):
            yield feed
            done += 1
            if progress is not None:
                progress(done, total)

    def load(model: bytes | str | Path, setting: bool) -> Session:  # noqa: FBT001  # as in optimize
        return open_session(
            model, optimize=setting, threads=threads, providers=providers, config=_FULL_PRECISION
        )

    levels: list[LevelComparison] = []
    noise: tuple[OutputDifference, ...] = ()
    before: Session = None
    for setting in settings:
        with _blaming(_ORIGINAL, InvalidModelError):
            first = load(original, setting)
        if before is not None:
            between = _compare(before, first, made(), role=_ORIGINAL, kind=InvalidModelError)
            noise = _merged(noise, between)
            before = None  # frees it before the next is loaded
        with _blaming(_PRUNED, VerificationError):
            second = load(pruned, setting)
        outputs = _compare(first, second, made(), role=_PRUNED, kind=VerificationError)
        if not levels:
            noise = _nudged_difference(first, _made(feeds))
        levels.append(LevelComparison(setting, outputs))
        before = first
        del second
    return Comparison(tuple(levels), noise, len(feeds))


def _merged(
    first: Iterable[OutputDifference], second: Iterable[OutputDifference]
) -> tuple[OutputDifference, ...]:
    found = {d.name: d for d in first}
    for difference in second:
        name = difference.name
        found[name] = found[name].merged(difference) if name in found else difference
    return tuple(found.values())


def _nudged_difference(session: Session, feeds: Iterable[Feed]) -> tuple[OutputDifference, ...]:
    """Compare a model with itself on inputs that differ in their last bits."""
    found: tuple[OutputDifference, ...] = ()
    for feed in feeds:
        plain = run_outputs(session, feed)
        nudged = run_outputs(session, {name: _nudge(value) for name, value in feed.items()})
        found = _merged(found, (measure(n, plain.get(n), nudged.get(n)) for n in plain))
    return found


def _nudge(value: FeedValue) -> FeedValue:
    if not isinstance(value, np.ndarray) or value.dtype not in (np.float32, np.float64):
        return value
    signs = np.where(np.arange(value.size) % 2, 1.0, -1.0).reshape(value.shape)
    return np.asarray(value * (1.0 + _LAST_BITS * signs), value.dtype)


def compare_sessions(
    first: Session,
    second: Session,
    *,
    feeds: Sequence[Feed | FeedRecipe],
    second_name: str = _PRUNED,
) -> tuple[OutputDifference, ...]:
    """Run two open sessions on the same feeds and return how their outputs differ.

    Raises:
        InvalidModelError: The first cannot be run on a feed.
        VerificationError: The second cannot, and the first can.
        MemoryError: A run needs more memory than there is.
    """
    return _compare(first, second, _made(feeds), role=second_name, kind=VerificationError)


def _made(feeds: Iterable[Feed | FeedRecipe]) -> Iterator[Feed]:
    for feed in feeds:
        yield feed.make() if isinstance(feed, FeedRecipe) else feed


@contextlib.contextmanager
def _blaming(role: str, kind: type[OnnxPruneError]) -> Iterator[None]:
    """Say whose failure it is."""
    try:
        yield
    except InvalidModelError as error:
        message = f"{role}: {error.message}"
        raise kind(message, hint=error.hint) from error


def _compare(
    first: Session,
    second: Session,
    feeds: Iterable[Feed],
    *,
    role: str,
    kind: type[OnnxPruneError],
) -> tuple[OutputDifference, ...]:
    """Compare on each feed; a failure of the second session is of `kind`, and `role` its owner."""
    found: tuple[OutputDifference, ...] = ()
    for feed in feeds:
        with _blaming(_ORIGINAL, InvalidModelError):
            wanted = run_outputs(first, feed)
        with _blaming(role, kind):
            seen = run_outputs(second, feed)
        names = wanted | seen
        found = _merged(found, (measure(n, wanted.get(n), seen.get(n)) for n in names))
    return found
