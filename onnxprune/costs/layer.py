"""What the time of an operator depends on, and who can say how long it takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["ITEM_BYTES", "Blocking", "Copy", "Copying", "Layer", "LayerCosts", "Widths"]

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
        """Multiply-accumulates, of a convolution without pads as an upper bound."""
        return self._places * prod(self.kernel) * self.groups * self.inner * self.outer

    @property
    def _places(self) -> int:
        """Positions that a convolution computes, or rows of a product."""
        places = self.batch * prod(self.size)
        if self.op != "Conv":
            return places
        strides = [v for k, v in self.attributes if k == "strides" and not isinstance(v, str)]
        return -(-places // prod(strides[0])) if strides else places

    @property
    def weight_bytes(self) -> int:
        """Bytes of the right side."""
        count = prod(self.kernel) * self.groups * self.inner * self.outer
        return count * ITEM_BYTES.get(self.dtype, 4)

    @property
    def bytes(self) -> int:
        """Bytes that are read and written."""
        read = self.batch * prod(self.size) * self.inner
        count = self.groups * (read + self._places * self.outer)
        return self.weight_bytes + count * ITEM_BYTES.get(self.dtype, 4)


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
        between: whether the runtime would keep the value in an order of bytes of its own, between
            convolutions, and has to leave that for the copy.
    """

    op: Literal["Slice", "Gather"]
    dtype: str
    batch: int
    size: tuple[int, ...]
    total: int
    kept: int
    between: bool = False

    @property
    def key(self) -> str:
        """The copy as text."""
        shape = f"{self.batch}x{'x'.join(map(str, self.size)) or '1'}"
        place = " between" if self.between else ""
        return f"copy{place} {self.op} {self.dtype} {shape} {self.kept} of {self.total}"


@dataclass(frozen=True, slots=True)
class Copying:
    """What copies of some channels of a value take, in microseconds, with what surrounds them.

    Runtimes keep images in an order of bytes that suits convolutions. A value is brought out of it
    once for all copies; what was copied is brought into it again.

    Attributes:
        call: each copy, whatever its size.
        of: per channel of the value, once.
        kept: per channel that is copied.

    Examples:
        >>> Copying(2.0, 0.1, 0.5).us(8, 4)
        4.8
    """

    call: float
    of: float
    kept: float

    def us(self, of: int, *kept: int) -> float:
        """Return the time of copies with some numbers of channels, of a value with so many."""
        if not kept:
            return 0.0
        return self.of * of + self.call * len(kept) + self.kept * sum(kept)


@dataclass(frozen=True, slots=True)
class Blocking:
    """How a runtime keeps images in blocks of channels, and what a change of that order takes.

    Attributes:
        block: channels of a block; pools and concatenations take whole blocks only.
        unit: convolutions take channels in multiples of this.
        call_us: each change of the order, whatever its size.
        bytes_per_us: bytes of an image whose order changes in a microsecond.

    Examples:
        >>> Blocking(16, 4, 3.0, 5e4).us([50_000, 100_000])
        9.0
    """

    block: int
    unit: int
    call_us: float
    bytes_per_us: float

    def us(self, sizes_bytes: Sequence[int]) -> float:
        """Return the time of changes of the order of some images."""
        return self.call_us * len(sizes_bytes) + sum(sizes_bytes) / self.bytes_per_us


class LayerCosts(Protocol):
    """Says how long layers and copies take, in microseconds of one run."""

    @property
    def blocking(self) -> Blocking | None:
        """Return how images are kept in blocks of channels, None where they are not."""
        ...

    def over(self, layer: Layer) -> Callable[[Widths], float]:
        """Return the time of a layer at any widths up to those that it has."""
        ...

    def copying(self, copy: Copy) -> Copying:
        """Return what copies take of a value that has at most as many channels as this one."""
        ...

    def macs_us(self, count: float) -> float:
        """Return the time of multiply-accumulates of an operator that is no layer."""
        ...

    def bytes_us(self, count: float) -> float:
        """Return the time of an operator that writes some bytes and hardly computes."""
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
