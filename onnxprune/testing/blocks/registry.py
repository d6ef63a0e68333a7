"""The table of blocks: what a random graph may be grown with.

A block is a function `(builder, tensor) -> tensor` decorated with `block`; its name is the
function's name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from onnxprune.testing.blocks.builder import Builder, Layout, Tensor


class BuildBlock(Protocol):
    """Appends the nodes of a block to the graph and returns its result."""

    __name__: str

    def __call__(self, b: Builder, x: Tensor, /) -> Tensor:
        """Grow the graph from `x`."""
        ...


@dataclass(frozen=True)
class Block:
    """A kind of structure and the models it may occur in.

    Attributes:
        kind: Name of the block.
        build: Appends it.
        takes: Layouts it accepts.
        since: First operator set that can express it.
        floats: NumPy kind codes of floating-point types: `e` half, `f` single, `d` double.
        smooth: Whether small differences of the input stay small.
    """

    kind: str
    build: BuildBlock
    takes: tuple[Layout, ...]
    since: int
    floats: str
    smooth: bool


BLOCKS: dict[str, Block] = {}


def block(
    *takes: Layout,
    since: int = 9,
    floats: str = "efd",
    smooth: bool = True,
) -> Callable[[BuildBlock], BuildBlock]:
    """Register the decorated function as a block for the given layouts."""

    def register(build: BuildBlock) -> BuildBlock:
        kind = build.__name__
        assert kind not in BLOCKS, f"block {kind} is defined twice"
        BLOCKS[kind] = Block(kind, build, takes, since, floats, smooth)
        return build

    return register


def fitting(opset: int, float_code: str, layouts: Sequence[Layout]) -> list[Block]:
    """Return the blocks that a model with these properties can use, in order of kind."""
    return [
        entry
        for _, entry in sorted(BLOCKS.items())
        if entry.since <= opset
        and float_code in entry.floats
        and any(layout in entry.takes for layout in layouts)
    ]
