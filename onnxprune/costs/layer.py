"""What the time of an operator depends on, and who can say how long it takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ITEM_BYTES", "Copy", "Layer", "LayerCosts", "Widths"]

Widths = tuple[int, int, int]
"""Groups, channels that go into each, channels that come out of each."""

ITEM_BYTES = {"float32": 4, "float64": 8, "float16": 2, "bfloat16": 2, "int8": 1, "uint8": 1}


@dataclass(frozen=True, slots=True)
class Layer:
    """An operator with a contraction, at certain sizes.

    Attributes:
        op: "Conv", "ConvTranspose", "MatMul" or "Gemm".
        dtype: element type.
        batch: images of a convolution; 1 for products.
        size: extents of a convolution's input, or the rows of a product's left side.
        groups: groups of a convolution, or independent products (heads of an attention).
        inner: channels that go into each group; the summed axis of a product.
        outer: channels that come out of each group; the columns of a product.
        kernel: extents of the kernel.
        attributes: what else the operator is told, as text: strides, pads, dilations.
        weight: whether the right side is a constant, which a runtime may pack beforehand.
    """

    op: str
    dtype: str
    batch: int
    size: tuple[int, ...]
    groups: int
    inner: int
    outer: int
    kernel: tuple[int, ...] = ()
    attributes: tuple[tuple[str, tuple[int, ...] | str], ...] = ()
    weight: bool = True

    @property
    def widths(self) -> Widths:
        """Groups, and channels into and out of each."""
        return self.groups, self.inner, self.outer

    def at(self, widths: Widths) -> Layer:
        """Return the same layer with other numbers of channels."""
        groups, inner, outer = widths
        return replace(self, groups=groups, inner=inner, outer=outer)

    @property
    def kind(self) -> str:
        """Everything but the numbers of channels, as text."""
        told = ",".join(
            f"{k}={'x'.join(map(str, v)) if isinstance(v, tuple) else v}"
            for k, v in self.attributes
        )
        shape = f"{self.batch}x{'x'.join(map(str, self.size))}"
        kernel = "x".join(map(str, self.kernel)) or "-"
        side = "" if self.weight else " activations"
        return f"{self.op} {self.dtype} {shape} k{kernel} {told or '-'}{side}"

    @property
    def key(self) -> str:
        """The layer as text, which names it in a table."""
        return f"{self.kind} {self.groups}x{self.inner}>{self.outer}"

    @property
    def family(self) -> str:
        """What shares the steps in which a provider works."""
        shape = "Conv" if self.op.startswith("Conv") else "MatMul"
        return f"{shape} {self.dtype}"

    @property
    def macs(self) -> int:
        """Multiply-accumulates, of a convolution without strides as an upper bound."""
        stride = 1
        for name, value in self.attributes:
            if name == "strides" and not isinstance(value, str):
                stride = prod(value)
        places = self.batch * prod(self.size)
        if self.op == "Conv":
            places = -(-places // stride)
        return places * prod(self.kernel) * self.groups * self.inner * self.outer

    @property
    def weight_bytes(self) -> int:
        """Bytes of the right side."""
        count = prod(self.kernel) * self.groups * self.inner * self.outer
        return count * ITEM_BYTES.get(self.dtype, 4)

    @property
    def bytes(self) -> int:
        """Bytes that are read and written."""
        places = self.batch * prod(self.size) * self.groups
        return self.weight_bytes + places * (self.inner + self.outer) * ITEM_BYTES.get(
            self.dtype, 4
        )


@dataclass(frozen=True, slots=True)
class Copy:
    """Some channels of a tensor, taken out of it by an operator.

    Attributes:
        op: "Slice" for a run of channels, "Gather" for any.
        dtype: element type.
        batch: how many times there are channels.
        size: extents of a channel, such as height and width.
        total: channels that there are.
        kept: channels that are taken.
    """

    op: Literal["Slice", "Gather"]
    dtype: str
    batch: int
    size: tuple[int, ...]
    total: int
    kept: int

    @property
    def key(self) -> str:
        """The copy as text."""
        shape = f"{self.batch}x{'x'.join(map(str, self.size)) or '1'}"
        return f"{self.op} {self.dtype} {shape} {self.kept} of {self.total}"

    @property
    def bytes(self) -> int:
        """Bytes that are read and written."""
        return 2 * self.batch * prod(self.size) * self.kept * ITEM_BYTES.get(self.dtype, 4)


class LayerCosts(Protocol):
    """Says how long layers and copies take, in microseconds of one run."""

    def layer_us(self, layer: Layer) -> float:
        """Return the time of a layer."""
        ...

    def copy_us(self, copy: Copy) -> float:
        """Return the time of a copy."""
        ...


def points(largest: int, step: int, *, few: bool = False) -> tuple[int, ...]:
    """Return numbers of channels to measure at: multiples of a step, and the largest.

    Args:
        largest: as many as there are.
        step: the provider's.
        few: whether three will do.

    Examples:
        >>> points(256, 16), points(24, 16), points(1, 16)
        ((16, 64, 128, 192, 256), (16, 24), (1,))
    """
    shares: Sequence[float] = (0.0, 0.5) if few else (0.0, 0.25, 0.5, 0.75)
    wanted = {min(largest, max(1, round(s * largest / step)) * step) for s in shares}
    return tuple(sorted({*wanted, largest}))
