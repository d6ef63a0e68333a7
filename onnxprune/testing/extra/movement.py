"""Operators that move, select and repeat data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from onnxprune.testing.made_cases import floats as f
from onnxprune.testing.made_cases import integers as ints
from onnxprune.testing.made_cases import made_case

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnxprune.testing.made_cases import Content
    from onnxprune.testing.node_cases import NodeCase


def cases() -> Iterator[NodeCase]:
    """Yield the cases."""
    yield from _joining()
    yield from _selection()
    yield from _regrouping()
    yield from _broadcast()


def _joining() -> Iterator[NodeCase]:
    for axis in (0, 1, -1):
        parts = [f(2, 6, 4), f(2, 6, 4, seed=1), f(2, 6, 4, seed=2)]
        yield made_case(f"concat_{axis}", "Concat", parts, axis=axis)
    yield made_case("concat_uneven", "Concat", [f(2, 3, 4), f(2, 5, 4)], axis=1)
    yield made_case("split_uneven", "Split", [f(2, 6, 4), ints(1, 3, 2)], axis=1, outputs=3)
    yield made_case("split_number", "Split", [f(2, 6)], axis=1, outputs=3, num_outputs=3, opset=18)
    yield made_case("split_rest", "Split", [f(2, 7)], axis=1, outputs=2, num_outputs=2, opset=18)
    yield made_case("split_11", "Split", [f(2, 6)], axis=1, outputs=2, split=[2, 4], opset=11)
    yield made_case("split_equal_11", "Split", [f(2, 6)], axis=1, outputs=2, opset=11)
    yield made_case("split_equal_13", "Split", [f(2, 6)], axis=1, outputs=2, opset=13)


def _selection() -> Iterator[NodeCase]:
    x = f(3, 8, 4)
    bounds: dict[str, tuple[list[int], ...]] = {
        "middle": ([2], [6], [1]),
        "end": ([-3], [1000], [1]),
        "strided": ([1], [8], [1], [3]),
        "backwards": ([-1], [-9], [1], [-1]),
        "two": ([1, 2], [3, 7], [2, 1]),
        "empty": ([5], [5], [1]),
        "rows": ([1], [3], [0]),
        "strided_two": ([0, 1], [8, 4], [1, 2], [2, 1]),
    }
    for name, values in bounds.items():
        operands = [ints(*v) for v in values]
        yield made_case(f"slice_{name}", "Slice", [x, *operands])
        if len(values) == 3:
            starts, ends, axes = values
            yield made_case(
                f"slice_{name}_9", "Slice", [x], starts=starts, ends=ends, axes=axes, opset=9
            )
    tables = {
        "some": [1, 5, 2], "twice": [3, 3, 0, 7, 3], "one": [4], "negative": [-1, -8],
        "table": [[0, 1], [2, 3], [6, 7]], "row": [[5, 1, 2]], "column": [[5], [1]],
        "mixed": [[0, 1], [1, 2]],
    }  # fmt: skip
    for name, table in tables.items():
        yield made_case(f"gather_{name}", "Gather", [x, np.array(table)], axis=1)
    yield made_case("gather_scalar", "Gather", [x, np.array(2)], axis=1)
    yield made_case("gather_rows", "Gather", [f(9, 6), np.array([[0, 8], [3, 3]])], axis=0)
    picks = np.random.default_rng(0).integers(0, 3, (3, 8, 4))
    yield made_case("gatherelements", "GatherElements", [x, picks], axis=0)
    yield made_case("gatherelements_part", "GatherElements", [x, picks[:, :2]], axis=2)
    yield made_case("gathernd", "GatherND", [x, np.array([[0, 1], [2, 7]])])
    yield made_case("gathernd_batch", "GatherND", [x, np.array([[1], [2], [0]])], batch_dims=1)
    yield made_case("scatterelements", "ScatterElements", [x, picks, f(3, 8, 4)], axis=0)
    rows = np.array([[0], [2]])
    yield made_case("scatternd", "ScatterND", [x, rows, f(2, 8, 4)])
    yield made_case("scatternd_add", "ScatterND", [x, rows, f(2, 8, 4)], reduction="add")
    for mode in ("constant", "reflect", "edge"):
        amounts = ints(0, 1, 0, 0, 2, 0)
        yield made_case(f"pad_{mode}", "Pad", [x, amounts], mode=mode)
        yield made_case(f"pad_{mode}_last", "Pad", [x, ints(1, 1), None, ints(2)], mode=mode)
    yield made_case("pad_crop", "Pad", [x, ints(0, -1, 0, 0, -2, 0)])
    yield made_case("pad_2", "Pad", [x], pads=[0, 1, 0, 0, 2, 1], opset=9)
    image = f(2, 6, 4, 4)
    scales = np.array([1, 1, 2, 2], np.float32)
    yield made_case("resize_scales", "Resize", [image, None, scales])
    yield made_case("resize_sizes", "Resize", [image, None, None, ints(2, 6, 8, 8)])
    yield made_case("resize_axes", "Resize", [image, None, scales[2:]], axes=[2, 3], opset=18)
    yield made_case("resize_channels", "Resize", [image, None, None, ints(2, 3, 4, 4)])
    yield made_case("resize_10", "Resize", [image, scales], opset=10)
    roi = np.zeros(0, np.float32)
    yield made_case("resize_11", "Resize", [image, roi, scales], opset=11)
    yield made_case("upsample", "Upsample", [image, scales], opset=9)
    yield made_case("upsample_7", "Upsample", [image], scales=scales.tolist(), opset=7)
    yield made_case("compress", "Compress", [x, f(8) > 0], axis=1)
    yield made_case("trilu", "Trilu", [f(3, 6, 6)])
    yield made_case("crop", "CenterCropPad", [image, ints(2, 6)], axes=[2, 3], opset=18)
    lengths = ints(3, 1, 2)
    yield made_case("reverse", "ReverseSequence", [f(4, 3, 6), lengths], batch_axis=1, time_axis=0)
    cache, new = f(2, 3, 8, 4), f(2, 3, 2, 4, seed=1)
    yield made_case("tensorscatter", "TensorScatter", [cache, new, ints(1, 3)], opset=24)


def _regrouping() -> Iterator[NodeCase]:
    x = f(2, 6, 4)
    for number, target in enumerate(
        ([2, 24], [0, -1], [12, 4], [2, 3, 2, 4], [-1], [2, 2, 3, 2, 2], [4, 3, 4], [2, 1, 6, 4])
    ):
        yield made_case(f"reshape_{number}", "Reshape", [x, ints(*target)])
    for axis in (0, 1, 2, 3):
        yield made_case(f"flatten_{axis}", "Flatten", [x], axis=axis)
    yield made_case("unsqueeze", "Unsqueeze", [x, ints(1, 3)])
    yield made_case("unsqueeze_11", "Unsqueeze", [x], axes=[0, 3], opset=11)
    yield made_case("squeeze", "Squeeze", [f(2, 1, 6, 1), ints(1)])
    yield made_case("squeeze_all", "Squeeze", [f(2, 1, 6, 1)])
    yield made_case("transpose", "Transpose", [x], perm=[1, 2, 0])
    for mode in ("DCR", "CRD"):
        yield made_case(f"depth_{mode}", "DepthToSpace", [f(1, 12, 3, 2)], blocksize=2, mode=mode)
    yield made_case("space", "SpaceToDepth", [f(1, 3, 4, 6)], blocksize=2)


def _broadcast() -> Iterator[NodeCase]:
    yield made_case("expand", "Expand", [f(1, 6, 1), ints(3, 6, 4)])
    yield made_case("expand_rank", "Expand", [f(6, 1), ints(2, 1, 4)])
    yield made_case("expand_shorter", "Expand", [f(2, 6, 1), ints(6, 4)])
    yield made_case("tile", "Tile", [f(2, 6, 1), ints(1, 2, 5)])
    yield made_case("tile_once", "Tile", [f(2, 6), ints(1, 1)])
    like: dict[str, Any] = {"opset": 9}
    yield made_case("eyelike", "EyeLike", [f(4, 6)], **like)
    onehot: list[Content] = [np.array([[0, 2], [1, 3]]), np.int64(4), np.array([0, 1], np.float32)]
    yield made_case("onehot", "OneHot", onehot)
