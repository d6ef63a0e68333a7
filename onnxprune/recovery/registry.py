"""The table of recoveries: ways to repair a weight when part of its input has left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from onnxprune import plugins
from onnxprune.registry import Registry, summary_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from onnxprune.recovery.moments import Moments

    Array = np.ndarray

Fit = Callable[["float | None"], "tuple[Array, Array]"]
"""From a strength to weight and bias; None when no sample was held back to choose one with."""


class Prepare(Protocol):
    """Prepare to repair a weight from what samples tell about its input and target.

    Weights are [groups, features, outputs], biases [groups, outputs]; features that left are not
    among them.
    """

    def __call__(self, moments: Moments, weight: Array, bias: Array, *, free: bool) -> Fit:
        """Return the fit; `free` says whether the bias may change."""
        ...


@dataclass(frozen=True, slots=True)
class Recovery:
    """A way to repair weights.

    Attributes:
        name: its name.
        prepare: makes the fit.
        strengths: strengths to try; held-back samples choose.
        also: other recoveries that held-back samples may prefer at an operator.
        linear: whether a fit of combined outputs is the combined fit of outputs.
        module: where it is defined.
        summary: what it does, in a line.
    """

    name: str
    prepare: Prepare
    strengths: tuple[float, ...]
    also: tuple[str, ...]
    linear: bool
    module: str
    summary: str

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of all that may be done at an operator, the recovery itself last."""
        return tuple(dict.fromkeys((NONE, *self.also, self.name)))


NONE = "none"
RECOVERIES: Registry[Recovery] = Registry("recovery", plugins.RECOVERIES)


def recovery(
    name: str,
    *,
    strengths: Sequence[float] = (0.0,),
    also: Sequence[str] = (),
    linear: bool = False,
) -> Callable[[Prepare], Prepare]:
    """Register a recovery: a function (moments, weight, bias, *, free) -> fit, see `Prepare`.

    At every operator held-back samples decide between leaving the weight as it is, the recoveries
    in `also`, and this one at each of its strengths. So no recovery makes an error worse there.

    Raises:
        PluginError: when the name is taken.
    """
    module = plugins.registering_module()

    def decorate(prepare: Prepare) -> Prepare:
        summary = summary_of(prepare)
        RECOVERIES.register(
            Recovery(name, prepare, tuple(strengths), tuple(also), linear, module, summary)
        )
        return prepare

    return decorate
