"""Costs of layers that nobody measured, from their multiply-accumulates and bytes."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from onnxprune.costs.layer import ITEM_BYTES, Blocking, Copying

if TYPE_CHECKING:
    from collections.abc import Callable

    from onnxprune.costs.layer import Copy, Layer, Widths

__all__ = ["DefaultCosts"]


@dataclass(frozen=True, slots=True)
class DefaultCosts:
    """What layers and copies take by their multiply-accumulates and bytes.

    The defaults are those of one thread of a server's CPU under ONNX Runtime; what counts is their
    ratio. Its convolutions of images work on blocks of channels, in an order of bytes of their own,
    and leave that order for what does not know it: channels that are no multiple of `unit`, and
    copies of some channels.

    Attributes:
        macs_per_us: multiply-accumulates of products and convolutions in a microsecond.
        depthwise_macs_per_us: the same of depthwise convolutions.
        bytes_per_us: bytes that other operators write, or products read and write, in one.
        weights_per_us: bytes of weights that convolutions read in one.
        values_per_us: bytes of values that convolutions read and write in one.
        depthwise_values_per_us: the same of depthwise convolutions, which wait for nothing else.
        copied_per_us: bytes that a copy, or a change of their order, reads and writes in one.
        call_us: what an operator takes that does nothing.
        block: channels that convolutions compute together.
        unit: convolutions take channels in multiples of this, or a slower way.
        narrow: by how much a convolution takes longer that sums less than a block.
        slower: the same of one that takes the slower way.
        slower_grouped: the same of one with groups that are no whole blocks.

    Examples:
        >>> from onnxprune.costs import Copy, Layer
        >>> costs = DefaultCosts()
        >>> conv = Layer("Conv", "float32", 1, (56, 56), 1, 64, 64, (3, 3))
        >>> copy = Copy("Slice", "float32", 1, (56, 56), 64, 32)
        >>> costs.layer_us(conv) > costs.copying(copy).us(64, 32)
        True
    """

    macs_per_us: float = 1.15e5
    depthwise_macs_per_us: float = 6e4
    bytes_per_us: float = 3e4
    weights_per_us: float = 5e4
    values_per_us: float = 1e5
    depthwise_values_per_us: float = 5.5e4
    copied_per_us: float = 9e4
    call_us: float = 3.0
    block: int = 16
    unit: int = 4
    narrow: float = 1.5
    slower: float = 1.15
    slower_grouped: float = 6.0

    @property
    def blocking(self) -> Blocking:
        """Return how images are kept in blocks of channels."""
        return Blocking(self.block, self.unit, self.call_us, self.copied_per_us / 2)

    def layer_us(self, layer: Layer) -> float:
        """Return the time of a layer."""
        if layer.op == "Conv" and len(layer.size) > 1:
            return self.call_us + self._convolution_us(layer)
        return self.call_us + max(layer.macs / self.macs_per_us, layer.bytes / self.bytes_per_us)

    def _convolution_us(self, layer: Layer) -> float:
        groups, inner, outer = layer.widths
        if groups > 1 and inner == outer == 1:
            whole = layer.at((self._whole(groups), 1, 1))
            values = (whole.bytes - whole.weight_bytes) / self.depthwise_values_per_us
            factor = self.slower_grouped if groups % self.unit else 1.0
            return factor * max(whole.macs / self.depthwise_macs_per_us, values)
        factor = 1.0
        if groups > 1:
            factor = self.slower_grouped if inner % self.block or outer % self.block else 1.0
        elif inner * prod(layer.kernel) < self.block:
            factor, inner, outer = self.narrow, self.block, self._whole(outer)
        elif inner < self.block:
            outer = self._whole(outer)
        elif inner % self.unit:
            factor, outer = self.slower, self._whole(outer)
        else:
            inner, outer = self._whole(inner), self._whole(outer)
        whole = layer.at((groups, inner, outer))
        weights = whole.weight_bytes
        moved = weights / self.weights_per_us + (whole.bytes - weights) / self.values_per_us
        return factor * whole.macs / self.macs_per_us + moved

    def _whole(self, channels: int) -> int:
        return -(-channels // self.block) * self.block

    def over(self, layer: Layer) -> Callable[[Widths], float]:
        """Return the time of a layer at any widths."""
        return lambda widths: self.layer_us(layer.at(widths))

    def copying(self, copy: Copy) -> Copying:
        """Return what copies of a value take."""
        passes = 2 * copy.batch * prod(copy.size) * ITEM_BYTES.get(copy.dtype, 4)
        per_channel = passes / self.copied_per_us
        kept = per_channel * (1.0 if copy.op == "Slice" else 1.1)
        if not copy.between:
            return Copying(self.call_us, 0.0, kept)
        return Copying(3 * self.call_us, per_channel, kept + per_channel)

    def macs_us(self, count: float) -> float:
        """Return the time of multiply-accumulates of an operator that is no layer."""
        return count / self.macs_per_us

    def bytes_us(self, count: float) -> float:
        """Return the time of an operator that writes some bytes and hardly computes."""
        return count / self.bytes_per_us
