"""The steps of channels that pay on a provider: measured where they were, else what is known of it.

Convolutions over images are the ones that care. On ONNX Runtime's CPU provider one whose channels
are no multiple of four leaves the blocked kernels and takes up to three times as long, while a
product of matrices hardly notices.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onnxprune.costs.layer import Layer
    from onnxprune.costs.steps import Steps
    from onnxprune.costs.table import CostTable
    from onnxprune.providers.spec import ProviderSpec

__all__ = ["Alignment", "choose_alignment"]

_PAYS = 1.1
"""Time between multiples of a step, relative to the straight line, from which the step is kept."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """Steps of channels and where they come from.

    Attributes:
        step: the one of most multiply-accumulates.
        source: how that is known.
        steps: the steps of layers that have one, by name.
    """

    step: int
    source: str
    steps: Mapping[str, int] = field(default_factory=dict)


def choose_alignment(
    layers: Mapping[str, Layer], table: CostTable | None, spec: ProviderSpec
) -> Alignment:
    """Return the steps for a network.

    Args:
        layers: its layers by name.
        table: times on the provider, None when it is not here.
        spec: the provider.
    """
    steps = {name: _step(layer, table, spec) for name, layer in layers.items()}
    paying = {name: step for name, step in steps.items() if step > 1}
    work: Counter[str] = Counter()
    for name in paying or layers:
        work[layers[name].family] += layers[name].macs
    family = max(work, key=lambda f: (work[f], f), default="")
    step = max((s for n, s in paying.items() if layers[n].family == family), default=1)
    if _measured(family, table) is not None:
        return Alignment(step, f"measured on {spec.text} ({family})", paying)
    source = f"what is known of {spec.facts.name}; `calibrate-costs` and `--align auto` measure it"
    return Alignment(step, source, paying)


def _step(layer: Layer, table: CostTable | None, spec: ProviderSpec) -> int:
    facts = spec.facts
    image = layer.op == "Conv" and len(layer.size) == _SIDES
    if layer.op.startswith("Conv") and facts.blocks_images and not image:
        return 1
    steps = _measured(layer.family, table)
    if steps is not None:
        return steps.step if max(*steps.inner, *steps.outer, *steps.groups) >= _PAYS else 1
    if facts.blocks_images and not image:
        return 1
    # A provider that computes in another type than the model's has the steps of its own.
    return facts.alignment.get(layer.dtype) or max(facts.alignment.values(), default=1)


def _measured(family: str, table: CostTable | None) -> Steps | None:
    return table.steps(family) if table is not None and family else None


_SIDES = 2
"""Height and width."""
