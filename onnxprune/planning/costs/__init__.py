"""What a copy costs on a provider, against what it costs to compute more channels instead.

The default table is for ONNX Runtime's CPU provider: a 1x1 or 3x3 convolution that reads some
channels of a value through Slice, Gather, or with zero weights, for 16 to 2,048 channels at 7x7 to
112x112, one thread.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Literal

from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt


class CopyCosts(BaseModel):
    """Costs of one provider.

    Attributes:
        provider: its name.
        mac_ns: time of a multiply-accumulate of a dense operator.
        grouped_mac_ns: the same of a grouped or depthwise convolution.
        element_ns: time per element that any other operator writes.
        slice_ns: time per element that a contiguous Slice copies.
        gather_ns: time per element that a Gather copies.
        node_us: time of a further node.
        grouped_step: a multiple of so many channels makes grouped convolutions several times as
            fast as another number.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["onnxprune.costs/1"] = "onnxprune.costs/1"
    provider: str
    mac_ns: PositiveFloat
    grouped_mac_ns: PositiveFloat
    element_ns: PositiveFloat
    slice_ns: PositiveFloat
    gather_ns: PositiveFloat
    node_us: PositiveFloat
    grouped_step: PositiveInt = 1

    def copy_ns(self, elements: int, *, contiguous: bool) -> float:
        """Return the time of a copy of some elements."""
        return elements * (self.slice_ns if contiguous else self.gather_ns) + self.node_us * 1e3


def default_costs() -> CopyCosts:
    """Return the table of the CPU provider.

    Example:
        >>> default_costs().provider
        'cpu'
    """
    return CopyCosts.model_validate_json(files(__package__).joinpath("cpu.json").read_bytes())
