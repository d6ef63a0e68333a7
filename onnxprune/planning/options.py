"""How a plan is asked for, in the words that the command line and the Python API share."""

from __future__ import annotations

import re
from collections.abc import Sequence  # noqa: TC003  # the annotations are read at run time
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

from onnxprune.allocation import Target, find_allocation
from onnxprune.core.steps import Limits
from onnxprune.criteria import find_criterion
from onnxprune.errors import InvalidConfigError, printable
from onnxprune.planning.selection import Settings
from onnxprune.providers.spec import parse_spec

if TYPE_CHECKING:
    from onnxprune.allocation.solve import Metric

TARGETS = ("ratio", "remove_params", "remove_macs", "max_bytes", "max_latency_ratio")

_METRICS: dict[str, Metric] = {
    "ratio": "ratio",
    "remove_params": "params",
    "remove_macs": "macs",
    "max_bytes": "bytes",
    "max_latency_ratio": "latency",
}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


Coupling: TypeAlias = Literal["constrained", "unconstrained", "auto"]
COUPLINGS: tuple[Coupling, ...] = ("constrained", "unconstrained", "auto")


class PlanOptions(TypedDict, total=False):
    """Keyword arguments that say what to remove; one of the first five is given, or `depth`.

    Attributes:
        ratio: fraction of every group that leaves.
        remove_params: fraction of the parameters that leaves.
        remove_macs: fraction of the multiply-accumulates that leaves.
        max_bytes: size that the file may have, in bytes or as "9.5MiB".
        max_latency_ratio: time that a run may take, relative to the original's; it is measured.
        provider: execution provider to be fast on, as `name[:option=value,...]`; `cpu` by default.
        threads: threads within an operator to be fast with, 1 by default.
        criterion: name of the criterion that scores atoms; by default `l2`, with samples `obs`.
        allocation: name of the allocation; by default `uniform`, with samples `knapsack` unless
            the target is a ratio.
        coupling: `constrained` removes a channel for all that read it; `unconstrained` lets each
            consumer of a value drop channels of its own; `auto` does so where it pays.
        max_copies: most Slice and Gather nodes that unconstrained pruning may add; 0 for none.
        depth: how many residual branches leave as wholes, before or instead of channels; "auto"
            where they compete with channels for the target.
        allow_approximate: whether groups take part whose removal changes a normalisation.
        align: what is kept of a group is a multiple of this; "auto" takes the provider's steps
            as measured; by default those that are known, and 1 for a ratio.
        min_channels: what every group keeps at least.
        max_group_ratio: largest fraction of a group that leaves.
        exclude: patterns of groups, parameters or nodes that stay.
        only: patterns of groups, parameters or nodes of which some may leave.
        seed: seed of everything random.
    """

    ratio: float | None
    remove_params: float | None
    remove_macs: float | None
    max_bytes: int | str | None
    max_latency_ratio: float | None
    provider: str
    threads: int
    criterion: str | None
    allocation: str | None
    coupling: Coupling
    max_copies: int | None
    depth: int | Literal["auto"] | None
    allow_approximate: bool
    align: int | Literal["auto"] | None
    min_channels: int
    max_group_ratio: float
    exclude: Sequence[str]
    only: Sequence[str]
    seed: int


def make_settings(options: PlanOptions, *, samples: bool = False) -> Settings:
    """Check options and turn them into the settings of a plan.

    Args:
        options: the options.
        samples: whether there are samples to choose with.

    Raises:
        InvalidConfigError: an option that is unknown, missing, or out of its range.
    """
    unknown = sorted(set(options) - PlanOptions.__annotations__.keys())
    if unknown:
        message = f"there is no option '{printable(unknown[0])}'"
        raise InvalidConfigError(message, hint=f"options: {', '.join(PlanOptions.__annotations__)}")
    coupling, copies = _coupling(options)
    criterion = options.get("criterion") or ("obs" if samples else "l2")
    find_criterion(criterion, samples=samples)
    allocation = options.get("allocation") or ""
    if allocation:
        find_allocation(allocation, samples=samples)
    depth = _depth(options, coupling, samples=samples)
    seed = options.get("seed", 0)
    if seed < 0:
        message = f"seed is {seed}, wanted is a whole number from 0"
        raise InvalidConfigError(message)
    parse_spec(options.get("provider") or "cpu")
    threads = options.get("threads", 1)
    if threads < 0:
        message = f"threads is {threads}, wanted is a whole number from 0"
        raise InvalidConfigError(message)
    return Settings(
        target=_target(options),
        criterion=criterion,
        allocation=allocation,
        limits=_limits(options),
        allow_approximate=options.get("allow_approximate", False),
        exclude=tuple(options.get("exclude", ())),
        only=tuple(options.get("only", ())),
        seed=seed,
        coupling=coupling,
        max_copies=copies,
        depth=depth,
    )


def _coupling(options: PlanOptions) -> tuple[Coupling, int | None]:
    coupling, copies = options.get("coupling", "constrained"), options.get("max_copies")
    if coupling not in COUPLINGS:
        message = f"there is no coupling '{printable(coupling)}'"
        raise InvalidConfigError(message, hint=f"choose one of {', '.join(COUPLINGS)}")
    if copies is not None and copies < 0:
        message = f"max_copies is {copies}, wanted is a whole number from 0"
        raise InvalidConfigError(message)
    if copies is not None and coupling == "constrained":
        message = "max_copies is given, but constrained pruning makes no copies"
        raise InvalidConfigError(message, hint="add --coupling unconstrained")
    return coupling, copies


def _depth(options: PlanOptions, coupling: Coupling, *, samples: bool) -> int | Literal["auto"]:
    """Return how many residual branches leave, 0 for none."""
    depth = options.get("depth") or 0
    if not depth:
        return 0
    if not samples:
        message = "depth chooses residual branches with samples, and there are none"
        raise InvalidConfigError(message, hint="give some with --calibration")
    if depth != "auto" and depth < 0:
        message = f"depth is {depth}, wanted is a whole number from 1, or auto"
        raise InvalidConfigError(message)
    if coupling != "constrained" or options.get("max_latency_ratio") is not None:
        message = "depth does not go with unconstrained coupling or a latency as the target"
        raise InvalidConfigError(message, hint="give remove_macs, remove_params or max_bytes")
    allocation = options.get("allocation") or "knapsack"
    if depth == "auto" and (options.get("ratio") is not None or allocation != "knapsack"):
        message = "depth auto lets branches compete with channels, which is for allocation knapsack"
        raise InvalidConfigError(message, hint="give remove_macs, remove_params or max_bytes")
    return depth


def requested(options: PlanOptions) -> dict[str, Any]:
    """Return the target as it was given, by its name."""
    given: dict[str, Any] = dict(options)
    found = {name: given[name] for name in TARGETS if given.get(name) is not None}
    return found or ({"depth": given["depth"]} if given.get("depth") else {})


def parse_size(text: int | str, name: str = "max_bytes") -> int:
    """Return a size in bytes.

    Args:
        text: bytes, or a number with a unit: kB, MB, GB in powers of 1000, KiB, MiB, GiB in powers
            of 1024.
        name: what it is the size of, for the message.

    Raises:
        InvalidConfigError: no size.

    Examples:
        >>> parse_size("9.5MiB"), parse_size("10 MB"), parse_size("4096")
        (9961472, 10000000, 4096)
    """
    match = _SIZE.fullmatch(str(text))
    if match is None or (match[3] and not match[2]):
        message = f"{name} is '{printable(text)}', which is no size"
        raise InvalidConfigError(message, hint="write a size as 500000, 10MB or 9.5MiB")
    size = int(float(match[1]) * (1024 if match[3] else 1000) ** _POWERS[match[2].lower()])
    if size <= 0:
        message = f"{name} is '{printable(text)}', wanted is a size above zero"
        raise InvalidConfigError(message)
    return size


def _target(options: PlanOptions) -> Target:
    given = requested(options)
    if isinstance(given.pop("depth", None), int):
        return Target("macs", 0.0)  # branches alone
    if len(given) != 1:
        seen = " and ".join(given) if given else "none of them"
        message = f"wanted is one target of {', '.join(TARGETS)}; given is {seen}"
        raise InvalidConfigError(message)
    [(name, value)] = given.items()
    if name == "max_bytes":
        return Target("bytes", float(parse_size(value)))
    _check_fraction(name, value, "0.3 removes 30 %", largest=False)
    amount = 1.0 - value if name == "max_latency_ratio" else float(value)
    return Target(_METRICS[name], amount)


def _check_fraction(name: str, value: float, hint: str, *, largest: bool) -> None:
    if not (0 < value < 1 or (largest and value == 1)):
        message = f"{name} is {value}, wanted is a fraction between 0 and 1"
        raise InvalidConfigError(message, hint=hint)


def _limits(options: PlanOptions) -> Limits:
    align = options.get("align")
    step = 1 if align is None or align == "auto" else align  # found out for the model at hand
    least = options.get("min_channels", 1)
    for name, number in (("align", step), ("min_channels", least)):
        if number < 1:
            message = f"{name} is {printable(number)}, wanted is a whole number from 1"
            raise InvalidConfigError(message)
    most = options.get("max_group_ratio", 1.0)
    _check_fraction("max_group_ratio", most, "0.5 keeps half of every group", largest=True)
    return Limits(align=step, min_channels=least, max_group_ratio=most)
