"""Costs of layers that nobody measured, from their multiply-accumulates and bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnxprune.costs.layer import Copy, Layer

__all__ = ["DefaultCosts"]


@dataclass(frozen=True, slots=True)
class DefaultCosts:
    """A roofline: an operator computes or moves bytes, whichever takes longer.

    The defaults are those of one thread of a server's CPU; what counts is their ratio.

    Attributes:
        macs_per_us: multiply-accumulates in a microsecond.
        bytes_per_us: bytes in a microsecond.
        gathered_bytes_per_us: bytes of single channels in a microsecond.
        call_us: what an operator takes that does nothing.

    Examples:
        >>> from onnxprune.costs import Copy, Layer
        >>> costs = DefaultCosts()
        >>> conv = Layer("Conv", "float32", 1, (56, 56), 1, 64, 64, (3, 3))
        >>> costs.layer_us(conv) > costs.copy_us(Copy("Slice", "float32", 1, (56, 56), 64, 32))
        True
    """

    macs_per_us: float = 1e5
    bytes_per_us: float = 3e4
    gathered_bytes_per_us: float = 2.5e4
    call_us: float = 2.0

    def layer_us(self, layer: Layer) -> float:
        """Return the time of a layer."""
        return self.call_us + max(layer.macs / self.macs_per_us, layer.bytes / self.bytes_per_us)

    def copy_us(self, copy: Copy) -> float:
        """Return the time of a copy."""
        speed = self.bytes_per_us if copy.op == "Slice" else self.gathered_bytes_per_us
        return self.call_us + copy.bytes / speed
