"""The table of criteria and what a criterion may look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxprune import plugins
from onnxprune.errors import InvalidConfigError, printable
from onnxprune.registry import Registry, summary_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onnx import TensorProto

    from onnxprune.core.dependencies import Dependencies
    from onnxprune.core.groups import Group, ParameterSlice
    from onnxprune.core.steps import Scores
    from onnxprune.runtime.gates import LabelGates

Score = Callable[["ScoreContext", "Group"], "Scores"]


@dataclass(frozen=True, slots=True)
class Criterion:
    """What scores the atoms of a group; called with (context, group).

    Attributes:
        name: its name.
        function: returns one score per atom, low leaves first.
        samples: whether it needs samples.
        argument: what stands after the name and a colon where it is used, "" where it takes none.
        module: where it is defined.
        summary: what it does, in a line.
    """

    name: str
    function: Score
    samples: bool
    argument: str
    module: str
    summary: str

    def __call__(self, context: ScoreContext, group: Group) -> Scores:
        """Return one score per atom of a group."""
        return np.asarray(self.function(context, group), np.float64)


CRITERIA: Registry[Criterion] = Registry(
    "criterion", plugins.CRITERIA, lambda c: f"{c.name}:{c.argument}" if c.argument else c.name
)


@dataclass(frozen=True, slots=True)
class ConsumerStats:
    """What samples tell about the channels of one input that is summed over.

    Attributes:
        labels: label sets of the channels, one array per factor.
        power: mean square of each channel.
        variance: variance of each channel.
        magnitude: mean absolute value of each channel.
        active: share of each channel's values that are not zero.
        weight: squared norm of the weights that read each channel, ones where they are not known.
    """

    labels: tuple[np.ndarray, ...]
    power: np.ndarray
    variance: np.ndarray
    magnitude: np.ndarray
    active: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True, slots=True)
class ScoreContext:
    """What a criterion may look at.

    Attributes:
        deps: the analysis.
        read: returns the content of a parameter's tensor.
        seed: seed of everything random.
        argument: what stands after the criterion's name and a colon.
        model_sha256: digest of the model's file.
        cache: results that several groups share.
        consumers: what samples tell about channels, None without samples.
        gates: returns a session in which any channels can be silenced, None without samples.
        greedy: order in which the walk along the network would take atoms, by group.
        notes: what a criterion could not do, by group; the user gets to see it.
    """

    deps: Dependencies
    read: Callable[[TensorProto], np.ndarray]
    seed: int = 0
    argument: str = ""
    model_sha256: Callable[[], str] = str
    cache: dict[object, Any] = field(default_factory=dict)
    consumers: Sequence[ConsumerStats] | None = None
    gates: Callable[[], LabelGates] | None = None
    greedy: Mapping[str, Scores] | None = None
    notes: dict[str, str] = field(default_factory=dict)

    def weight(self, part: ParameterSlice) -> np.ndarray:
        """Return the content of a slice's parameter."""
        return self.read(self.deps.ctx.parameters[part.parameter].tensor)

    def gather(self, group: Group, parts: Sequence[tuple[ParameterSlice, np.ndarray]]) -> Scores:
        """Sum values given per index of slices into one value per atom of a group."""
        return self.scatter(group, [(part.roots, values) for part, values in parts])

    def scatter(self, group: Group, parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> Scores:
        """Sum values given per label set into one value per atom of a group."""
        position = np.full(len(self.deps.roots), -1)
        position[group.atoms] = np.arange(group.size)
        total = np.zeros(group.size)
        for roots, values in parts:
            where = position[roots]
            np.add.at(total, where[where >= 0], values[where >= 0])
        return total


def criterion(name: str, *, samples: bool = False, argument: str = "") -> Callable[[Score], Score]:
    """Register a criterion: a function (context, group) -> one score per atom, low leaves first.

    Args:
        name: its name.
        samples: whether it needs samples.
        argument: what has to follow its name after a colon, as a word for messages.

    Raises:
        PluginError: when the name is taken.
    """
    module = plugins.registering_module()

    def decorate(function: Score) -> Score:
        summary = summary_of(function)
        CRITERIA.register(Criterion(name, function, samples, argument, module, summary))
        return function

    return decorate


def find_criterion(text: str, *, samples: bool) -> Criterion:
    """Return the criterion that is asked for as `NAME` or `NAME:ARGUMENT`; plug-ins last.

    Args:
        text: how it was asked for.
        samples: whether there are samples.

    Raises:
        InvalidConfigError: there is no such criterion, it takes no argument, or needs one, or
            samples.
    """
    name, colon, argument = text.partition(":")
    found = CRITERIA.find(name)
    if bool(argument) != bool(found.argument) or (colon and not argument):
        message = f"criterion '{printable(text)}' was asked for"
        wanted = f"{name}:{found.argument}" if found.argument else name
        raise InvalidConfigError(message, hint=f"write it as {wanted}")
    if found.samples and not samples:
        message = f"criterion {name} chooses with samples, and there are none"
        raise InvalidConfigError(message, hint="give some with --calibration")
    return found
