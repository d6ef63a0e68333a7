"""Run a model on a provider once and find out whether the provider really did it.

Meant for `isolate.run_isolated` and for interpreters of other environments: it needs NumPy and
ONNX Runtime and nothing else.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from onnxprune.errors import InvalidModelError, ProviderUnavailableError, printable
from onnxprune.providers.availability import Availability, availability
from onnxprune.providers.placement import Placement, read_assignment, read_kernels
from onnxprune.providers.registry import find_provider
from onnxprune.providers.session import SessionSettings, open_on, require_still_on
from onnxprune.runtime.difference import OutputDifference, measure
from onnxprune.runtime.session import load_onnxruntime, open_session, run_outputs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnxprune.providers.facts import ProviderFacts
    from onnxprune.providers.spec import ProviderSpec
    from onnxprune.runtime.feeds import Array, Feed, FeedRecipe
    from onnxprune.runtime.session import Session

__all__ = ["Examination", "examine", "survey"]

_Outputs: TypeAlias = "dict[str, list[Array | None]]"

_CPU: Final = find_provider("cpu").runtime_name

# Outputs below this are compared absolutely: what is all but zero has no digits to agree in.
_SMALL: Final = 1e-4

# Networks that magnify rounding differ from themselves as soon as operators are fused: a few times
# as much is permitted to a provider, up to a limit.
_NOISE_FACTOR: Final = 3.0
_MOST_NOISE: Final = 5e-2

_PROFILE_S: Final = 4.0


@dataclass(frozen=True, slots=True)
class Examination:
    """What a provider did with a model.

    Attributes:
        availability: How the provider is here.
        runtime_version: The version of ONNX Runtime.
        placement: Where the nodes ran.
        share: Share of the nodes that ran on the provider.
        differences: How its outputs differ from those of the CPU provider; none for that itself.
    """

    availability: Availability
    runtime_version: str
    placement: Placement
    share: float
    differences: tuple[OutputDifference, ...]


def survey(facts: Sequence[ProviderFacts]) -> tuple[str, list[Availability]]:
    """Return the version of this interpreter's ONNX Runtime, and which providers are here.

    Raises:
        ProviderUnavailableError: There is no ONNX Runtime.
    """
    return str(load_onnxruntime().__version__), [availability(entry) for entry in facts]


def examine(  # how much to do, with defaults
    model: str,
    spec: ProviderSpec,
    recipe: FeedRecipe,
    *,
    threads: int = 1,
    require_share: float | None = None,
    tolerance: float | None = None,
    runs: int = 15,
) -> Examination:
    """Run a model on a provider and on the CPU provider, and compare.

    Args:
        model: The file.
        spec: The provider.
        recipe: The values to run it on.
        threads: Threads within an operator.
        require_share: Least share of the nodes that must run on the provider; 1 makes the runtime
            itself refuse any other placement. None is content with one node.
        tolerance: Largest relative difference of an output; the provider's own by default. A
            model that differs from itself on the CPU is permitted more.
        runs: How often to run for the profile at most; slow models run less often.

    Raises:
        ProviderUnavailableError: It is missing, or it did not run the model, or not rightly.
        InvalidModelError: The model runs nowhere.
    """
    found = availability(spec.facts)
    feed = recipe.make()
    wanted: _Outputs = {}
    allowed = tolerance or spec.facts.tolerance
    if spec.name != _CPU:
        wanted, noise = _on_cpu(model, feed, threads)
        allowed = max(allowed, min(_NOISE_FACTOR * noise, _MOST_NOISE))
    with tempfile.TemporaryDirectory(prefix="onnxprune-") as folder:
        settings = SessionSettings(
            threads=threads, strict=require_share == 1, record=True,
            profile_prefix=str(Path(folder) / "profile"), dims=recipe.dims,
        )  # fmt: skip
        session = open_on(spec, model, settings)
        nodes = read_assignment(session)
        if nodes is not None:
            _require_share(spec, Placement(nodes), 0.0)  # before it runs something else
        seen = _run(spec, session, feed)
        done, end = 1, time.monotonic() + _PROFILE_S
        while done < runs and time.monotonic() < end:
            seen = _run(spec, session, feed)
            done += 1
        placement = Placement(nodes, read_kernels(session.end_profiling(), runs=done))
    share = _require_share(spec, placement, require_share or 0.0)
    _require_kernels(spec, placement)
    differences: tuple[OutputDifference, ...] = ()
    if spec.name != _CPU:
        differences = _differences(wanted, seen)
        _require_agreement(spec, differences, allowed)
    version = str(load_onnxruntime().__version__)
    return Examination(found, version, placement, share, differences)


def _on_cpu(model: str, feed: Feed, threads: int) -> tuple[_Outputs, float]:
    """Return the outputs of the CPU provider, and how much it differs from itself unoptimised."""
    plain, optimized = (
        run_outputs(open_session(model, optimize=optimize, threads=threads), feed)
        for optimize in (False, True)
    )
    return optimized, max((_distance(d) for d in _differences(optimized, plain)), default=0.0)


def _differences(wanted: _Outputs, seen: _Outputs) -> tuple[OutputDifference, ...]:
    return tuple(measure(name, wanted.get(name), seen.get(name)) for name in wanted | seen)


def _distance(one: OutputDifference) -> float:
    """Return the largest difference relative to the largest value."""
    return one.max_abs / max(one.scale, _SMALL)


def _run(spec: ProviderSpec, session: Session, feed: Feed) -> _Outputs:
    try:
        outputs = run_outputs(session, feed)
    except InvalidModelError as error:
        if spec.name == _CPU:
            raise
        message = f"provider '{printable(spec.text)}' took the model and cannot run it: "
        message += error.message.removeprefix("the model cannot be run: ")
        raise ProviderUnavailableError(message, hint="the CPU provider runs it") from error
    require_still_on(spec, session)
    return outputs


def _require_share(spec: ProviderSpec, placement: Placement, least: float) -> float:
    share = placement.shares().get(spec.name, 0.0)
    if share > 0.0 and least <= share:
        return share
    seen = ", ".join(f"{count} on {name}" for name, count in placement.counts().items())
    message = f"provider '{printable(spec.text)}' ran {share:.1%} of the nodes ({seen})"
    if not share:
        message = f"provider '{printable(spec.text)}' is listed but runs nothing: nodes are {seen}"
        hint = "its backend, or a library or device that it needs, is missing"
        raise ProviderUnavailableError(message, hint=hint)
    message += f", wanted is {least:.1%} at least"
    raise ProviderUnavailableError(message, hint="`onnxprune bench --json` names the others")


def _require_kernels(spec: ProviderSpec, placement: Placement) -> None:
    """Check that what was assigned to a provider also ran there, by the profile."""
    if not placement.ran_on(spec.name):
        message = f"provider '{printable(spec.text)}' was given {placement.counts()[spec.name]} "
        message += "nodes, and the profile shows none that ran on it"
        raise ProviderUnavailableError(message)


def _require_agreement(
    spec: ProviderSpec, differences: Sequence[OutputDifference], tolerance: float
) -> None:
    for one in differences:
        off = _distance(one)
        unequal = one.mismatches / one.elements if one.elements else 0.0
        if one.shapes_equal and one.dtypes_equal and not one.nonfinite_mismatches:
            if off <= tolerance and unequal <= tolerance:
                continue
            what = f"differs by {max(off, unequal):.2g}"
        else:
            what = one.detail or f"has {one.nonfinite_mismatches} values that are no numbers"
        message = f"provider '{printable(spec.text)}' computes something else than the CPU "
        message += (
            f"provider: output '{printable(one.name)}' {what}, relative; {tolerance:.2g} is allowed"
        )
        hint = "the backend may compute nothing at all, or in a coarser precision (--tolerance)"
        raise ProviderUnavailableError(message, hint=hint)
