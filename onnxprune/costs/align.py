"""The step of channels that pays on a provider: measured where it was, else what is known of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from onnxprune.costs.layer import Layer
    from onnxprune.costs.table import CostTable
    from onnxprune.providers.spec import ProviderSpec

__all__ = ["Alignment", "choose_alignment", "main_family"]


@dataclass(frozen=True, slots=True)
class Alignment:
    """A step of channels and where it comes from.

    Attributes:
        step: what is kept should be a multiple of it.
        source: how that is known.
    """

    step: int
    source: str


def main_family(layers: Iterable[Layer]) -> str:
    """Return the family of layers with the most multiply-accumulates, "" without layers."""
    work: Counter[str] = Counter()
    for layer in layers:
        work[layer.family] += layer.macs
    return max(work, key=lambda f: (work[f], f), default="")


def choose_alignment(
    layers: Iterable[Layer], table: CostTable | None, spec: ProviderSpec
) -> Alignment:
    """Return the step for a network.

    Args:
        layers: its layers.
        table: times on the provider, None when it is not here.
        spec: the provider.
    """
    family = main_family(layers)
    steps = table.steps(family) if table is not None and family else None
    if steps is not None:
        return Alignment(steps.step, f"measured on {spec.text} ({family})")
    dtype = family.partition(" ")[2] or "float32"
    facts = spec.facts
    # A provider that computes in another type than the model's has the steps of its own.
    step = facts.alignment.get(dtype) or max(facts.alignment.values(), default=1)
    source = f"what is known of {facts.name}; `onnxprune calibrate-costs` measures it"
    return Alignment(step, source)
