"""The table of criteria and what a criterion may look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnx import TensorProto

    from onnxprune.core.dependencies import Dependencies, Group, ParameterSlice
    from onnxprune.core.steps import Scores

Criterion = Callable[["ScoreContext", "Group"], "Scores"]
CRITERIA: dict[str, Criterion] = {}


@dataclass(frozen=True, slots=True)
class ConsumerStats:
    """What samples tell about the input channels of one consumer.

    Attributes:
        labels: label sets of the channels, one array per factor.
        power: mean square of each channel.
        variance: variance of each channel.
        weight: squared norm of the weights that read each channel.
    """

    labels: tuple[np.ndarray, ...]
    power: np.ndarray
    variance: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True, slots=True)
class ScoreContext:
    """What a criterion may look at.

    Attributes:
        deps: the analysis.
        read: returns the content of a parameter's tensor.
        seed: seed of everything random.
        cache: results that several groups share.
        consumers: what samples tell, None without samples.
    """

    deps: Dependencies
    read: Callable[[TensorProto], np.ndarray]
    seed: int = 0
    cache: dict[object, np.ndarray] = field(default_factory=dict)
    consumers: Sequence[ConsumerStats] | None = None

    def weight(self, part: ParameterSlice) -> np.ndarray:
        """Return the content of a slice's parameter."""
        return self.read(self.deps.ctx.parameters[part.parameter].tensor)

    def gather(self, group: Group, parts: list[tuple[ParameterSlice, np.ndarray]]) -> Scores:
        """Sum values given per index of slices into one value per atom of a group."""
        position = np.full(len(self.deps.roots), -1)
        position[group.atoms] = np.arange(group.size)
        total = np.zeros(group.size)
        for part, values in parts:
            where = position[part.roots]
            np.add.at(total, where[where >= 0], values[where >= 0])
        return total


def criterion(name: str) -> Callable[[Criterion], Criterion]:
    """Register a criterion: a function (context, group) -> one score per atom, low leaves first.

    Raises:
        PluginError: when the name is taken.
    """

    def decorate(function: Criterion) -> Criterion:
        if name in CRITERIA:
            message = f"criterion '{name}' is registered by {CRITERIA[name].__module__} already"
            raise PluginError(message)
        CRITERIA[name] = function
        return function

    return decorate
