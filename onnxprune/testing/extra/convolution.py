"""Convolutions and pooling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxprune.testing.made_cases import floats as f
from onnxprune.testing.made_cases import integers as ints
from onnxprune.testing.made_cases import made_case

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnxprune.testing.node_cases import NodeCase


def cases() -> Iterator[NodeCase]:
    """Yield the cases."""
    yield from _convolution()
    yield from _pooling()


def _convolution() -> Iterator[NodeCase]:
    for groups, width, count in ((1, 6, 4), (2, 6, 8), (3, 6, 3), (6, 6, 6), (6, 6, 12), (4, 8, 8)):
        names = f"{groups}_{width}_{count}"
        x, bias = f(2, width, 5, 5), f(count)
        weight = f(count, width // groups, 3, 3)
        yield made_case(f"conv_{names}", "Conv", [x, weight, bias], group=groups, pads=[1] * 4)
        back = f(width, count // groups, 3, 3)
        yield made_case(f"deconv_{names}", "ConvTranspose", [x, back, bias], group=groups)
        offsets = f(2, 18 * min(groups, 2), 3, 3)
        yield made_case(
            f"deform_{names}", "DeformConv", [x, weight, offsets, bias], group=groups,
            offset_group=min(groups, 2), opset=19,
        )  # fmt: skip
    yield made_case("conv_1d", "Conv", [f(2, 6, 5), f(4, 6, 3)], auto_pad="SAME_UPPER")
    yield made_case("conv_3d", "Conv", [f(1, 3, 4, 4, 4), f(4, 3, 2, 2, 2)])
    yield made_case("conv_dilated", "Conv", [f(1, 3, 7, 7), f(4, 3, 2, 2)], dilations=[2, 2])
    mask = f(2, 18, 3, 3)
    inputs = [f(2, 6, 5, 5), f(4, 6, 3, 3), f(2, 18, 3, 3), None, mask[:, :9]]
    yield made_case("deform_mask", "DeformConv", inputs, opset=19)


def _pooling() -> Iterator[NodeCase]:
    x = f(2, 6, 4, 4)
    for op in ("MaxPool", "AveragePool", "LpPool"):
        yield made_case(op.lower(), op, [x], kernel_shape=[2, 2], strides=[2, 2])
    for op in ("GlobalMaxPool", "GlobalAveragePool", "GlobalLpPool"):
        yield made_case(op.lower(), op, [x])
    yield made_case("maxpool_indices", "MaxPool", [x], outputs=2, kernel_shape=[2, 2])
    rois = np.array([[0, 0, 0, 3, 3], [1, 1, 1, 3, 3], [0, 0, 1, 2, 3]], np.float32)
    yield made_case("maxroipool", "MaxRoiPool", [x, rois], pooled_shape=[2, 2])
    batches = rois[:, 0].astype(np.int64)
    for mode in ("avg", "max"):
        yield made_case(
            f"roialign_{mode}", "RoiAlign", [x, rois[:, 1:], batches], mode=mode,
            output_height=2, output_width=2, opset=16,
        )  # fmt: skip
    index = np.tile(np.array([[0, 3], [8, 15]]), (2, 6, 1, 1))
    index = index + 16 * np.arange(12).reshape(2, 6, 1, 1)
    yield made_case("maxunpool", "MaxUnpool", [f(2, 6, 2, 2), index], kernel_shape=[2, 2],
                    strides=[2, 2])  # fmt: skip
    grid = f(2, 3, 3, 2) / 2
    yield made_case("gridsample", "GridSample", [x, grid], opset=20)
    yield made_case("col2im", "Col2Im", [f(2, 24, 9), ints(4, 4), ints(2, 2)], opset=18)
