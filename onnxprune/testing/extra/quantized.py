"""Quantised operators."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxprune.testing.made_cases import floats as f
from onnxprune.testing.made_cases import made_case, octets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnxprune.testing.made_cases import Content
    from onnxprune.testing.node_cases import NodeCase


def cases() -> Iterator[NodeCase]:
    """Yield the cases."""
    yield from _quantized()


def _quantized() -> Iterator[NodeCase]:
    x, w = octets(2, 6, 5, 5), octets(4, 6, 3, 3, kind=np.int8)
    yield made_case("convinteger", "ConvInteger", [x, w, np.uint8(7), np.int8(3)], opset=10)
    yield made_case("convinteger_bare", "ConvInteger", [x, w], opset=10)
    grouped = octets(6, 3, 3, 3, kind=np.int8)
    yield made_case("convinteger_groups", "ConvInteger", [x, grouped, np.uint8(7)], group=2)
    scale, zero = np.float32(0.1), np.uint8(9)
    ends: list[Content] = [np.float32(20.0), np.uint8(120)]
    rows: list[Content] = [f(4, low=0.1), np.zeros(4, np.int8)]
    bias = np.arange(-2, 2).astype(np.int32)
    yield made_case("qlinearconv", "QLinearConv", [x, scale, zero, w, *rows, *ends, bias])
    yield made_case(
        "qlinearconv_groups", "QLinearConv",
        [x, scale, zero, grouped, np.float32(0.1), np.int8(0), *ends], group=2,
    )  # fmt: skip
    a, b = octets(2, 3, 6), octets(6, 4)
    point: list[Content] = [np.float32(0.1), np.uint8(11)]
    yield made_case("qlinearmatmul", "QLinearMatMul", [a, *point, b, *point, *ends])
    columns: list[Content] = [f(4, low=0.1), np.full(4, 100, np.uint8)]
    yield made_case("qlinearmatmul_columns", "QLinearMatMul", [a[0], *point, b, *columns, *ends])
    yield made_case("matmulinteger", "MatMulInteger", [a, b, np.uint8(3), np.uint8(5)])
    yield made_case("matmulinteger_columns", "MatMulInteger", [a[0], b, np.uint8(3), octets(4)])
    for axis in (0, 1, 2):
        size = (2, 6, 4)[axis]
        scales, zeros = f(size, low=0.1), octets(size)
        yield made_case(
            f"quantize_{axis}", "QuantizeLinear", [f(2, 6, 4), scales, zeros], axis=axis
        )
        stored = octets(2, 6, 4)
        yield made_case(
            f"dequantize_{axis}", "DequantizeLinear", [stored, scales, zeros], axis=axis
        )
    for axis, block in ((0, 2), (0, 3), (1, 2), (1, 4)):
        sizes = [6, 8]
        sizes[axis] //= block
        scales, zeros = f(*sizes, low=0.1), octets(*sizes)
        yield made_case(
            f"dequantize_block_{axis}_{block}", "DequantizeLinear", [octets(6, 8), scales, zeros],
            axis=axis, block_size=block,
        )  # fmt: skip
        yield made_case(
            f"quantize_block_{axis}_{block}", "QuantizeLinear", [f(6, 8), scales, zeros],
            axis=axis, block_size=block,
        )  # fmt: skip
    yield made_case("dynamic_quantize", "DynamicQuantizeLinear", [f(2, 6)], outputs=3)
