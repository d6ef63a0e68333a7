"""A table of single nodes with several channels: what onnx's own cases are too small to show."""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxprune.testing.made_cases import made_case, text_case

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnxprune.testing.node_cases import NodeCase


def _floats(*shape: int, seed: int = 0, low: float = -2.0) -> np.ndarray:
    rng = np.random.default_rng((seed, *shape))
    return rng.uniform(low, 2.0, shape).astype(np.float32)


def _bytes(*shape: int, kind: type = np.uint8) -> np.ndarray:
    rng = np.random.default_rng(shape)
    info = np.iinfo(kind)
    return rng.integers(info.min, info.max, shape, endpoint=True).astype(kind)


def _ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


f, ints = _floats, _ints


@functools.cache
def extra_cases() -> tuple[NodeCase, ...]:
    """Return the cases.

    Example:
        >>> len({case.name for case in extra_cases()}) == len(extra_cases())
        True
    """
    families = (
        _elementwise, _convolution, _quantized, _products, _normalization, _pooling, _reduction,
        _joining, _selection, _regrouping, _broadcast, _recurrent, _control_flow,
    )  # fmt: skip
    return tuple(itertools.chain.from_iterable(family() for family in families))


def _elementwise() -> Iterator[NodeCase]:
    shapes = {"same": (2, 6, 4), "column": (6, 1), "row": (4,), "one": (1, 6, 1), "scalar": ()}
    for name, shape in shapes.items():
        for op in ("Add", "Mul", "Max"):
            yield made_case(f"{op}_{name}", op, [f(2, 6, 4), f(*shape, seed=1)])
    yield made_case("sum_three", "Sum", [f(2, 6, 4), f(6, 1), f(2, 1, 1)])
    yield made_case("prelu", "PRelu", [f(2, 6, 3, 3), f(6, 1, 1)])
    mask = f(6, 1) > 0
    yield made_case("where_mask", "Where", [mask, f(2, 6, 4), f(4)])
    yield made_case("where_one", "Where", [mask, f(2, 6, 4), f(2, 1, 4)])
    yield made_case("clip", "Clip", [f(2, 6), np.float32(-1), None])
    yield made_case("dropout", "Dropout", [f(2, 6)], outputs=2)
    yield made_case("cast_bool", "Cast", [f(2, 6)], to=9)


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


def _quantized() -> Iterator[NodeCase]:
    x, w = _bytes(2, 6, 5, 5), _bytes(4, 6, 3, 3, kind=np.int8)
    yield made_case("convinteger", "ConvInteger", [x, w, np.uint8(7), np.int8(3)], opset=10)
    yield made_case("convinteger_bare", "ConvInteger", [x, w], opset=10)
    grouped = _bytes(6, 3, 3, 3, kind=np.int8)
    yield made_case("convinteger_groups", "ConvInteger", [x, grouped, np.uint8(7)], group=2)
    scale, zero = np.float32(0.1), np.uint8(9)
    ends = [np.float32(20.0), np.uint8(120)]
    rows = [f(4, low=0.1), np.zeros(4, np.int8)]
    bias = np.arange(-2, 2).astype(np.int32)
    yield made_case("qlinearconv", "QLinearConv", [x, scale, zero, w, *rows, *ends, bias])
    yield made_case(
        "qlinearconv_groups", "QLinearConv",
        [x, scale, zero, grouped, np.float32(0.1), np.int8(0), *ends], group=2,
    )  # fmt: skip
    a, b = _bytes(2, 3, 6), _bytes(6, 4)
    point = [np.float32(0.1), np.uint8(11)]
    yield made_case("qlinearmatmul", "QLinearMatMul", [a, *point, b, *point, *ends])
    columns = [f(4, low=0.1), np.full(4, 100, np.uint8)]
    yield made_case("qlinearmatmul_columns", "QLinearMatMul", [a[0], *point, b, *columns, *ends])
    yield made_case("matmulinteger", "MatMulInteger", [a, b, np.uint8(3), np.uint8(5)])
    yield made_case(
        "matmulinteger_columns", "MatMulInteger", [a[0], b, np.uint8(3), _bytes(4)]
    )
    for axis in (0, 1, 2):
        size = (2, 6, 4)[axis]
        scales, zeros = f(size, low=0.1), _bytes(size)
        yield made_case(f"quantize_{axis}", "QuantizeLinear", [f(2, 6, 4), scales, zeros], axis=axis)
        stored = _bytes(2, 6, 4)
        yield made_case(
            f"dequantize_{axis}", "DequantizeLinear", [stored, scales, zeros], axis=axis
        )
    for axis, block in ((0, 2), (0, 3), (1, 2), (1, 4)):
        size = [6, 8]
        size[axis] //= block
        scales, zeros = f(*size, low=0.1), _bytes(*size)
        yield made_case(
            f"dequantize_block_{axis}_{block}", "DequantizeLinear", [_bytes(6, 8), scales, zeros],
            axis=axis, block_size=block,
        )  # fmt: skip
        yield made_case(
            f"quantize_block_{axis}_{block}", "QuantizeLinear", [f(6, 8), scales, zeros],
            axis=axis, block_size=block,
        )  # fmt: skip
    yield made_case("dynamic_quantize", "DynamicQuantizeLinear", [f(2, 6)], outputs=3)


def _products() -> Iterator[NodeCase]:
    yield made_case("matmul_weight", "MatMul", [f(2, 5, 6), f(6, 4)])
    yield made_case("matmul_left", "MatMul", [f(4, 5), f(2, 5, 6)])
    yield made_case("matmul_batch", "MatMul", [f(2, 3, 5, 6), f(2, 3, 6, 4)])
    yield made_case("matmul_broadcast", "MatMul", [f(2, 1, 5, 6), f(3, 6, 4)])
    yield made_case("matmul_row", "MatMul", [f(6), f(2, 6, 4)])
    yield made_case("matmul_column", "MatMul", [f(2, 5, 6), f(6)])
    yield made_case("matmul_dot", "MatMul", [f(6), f(6, seed=1)])
    addends: list[tuple[int, ...]] = [(), (4,), (1, 4), (3, 1), (3, 4), (1,)]
    for number, shape in enumerate(addends):
        ta, tb = number % 2, number // 2 % 2
        a = f(6, 3) if ta else f(3, 6)
        b = f(4, 6) if tb else f(6, 4)
        yield made_case(f"gemm_{number}", "Gemm", [a, b, f(*shape)], transA=ta, transB=tb, alpha=0.5)
    yield made_case("gemm_bare", "Gemm", [f(3, 6), f(6, 4)])
    equations: dict[str, list[tuple[int, ...]]] = {
        "bij,jk->bik": [(2, 3, 6), (6, 4)],
        "bhid,bhjd->bhij": [(2, 4, 3, 6), (2, 4, 5, 6)],
        "bnd,dhe->bhne": [(2, 3, 6), (6, 4, 5)],
        "...ij,...jk": [(2, 3, 6), (2, 6, 4)],
        "ij->ji": [(3, 6)],
        "ij->i": [(3, 6)],
        "ij,ij->": [(3, 6), (3, 6)],
        "i,j->ij": [(3,), (6,)],
        "bi,bj,bk->bijk": [(2, 3), (2, 4), (2, 5)],
        "ab,bc,cd->ad": [(2, 3), (3, 4), (4, 5)],
    }
    for number, (equation, shapes) in enumerate(equations.items()):
        inputs = [f(*s, seed=i) for i, s in enumerate(shapes)]
        yield made_case(f"einsum_{number}", "Einsum", inputs, equation=equation)


def _normalization() -> Iterator[NodeCase]:
    x = f(2, 6, 4, 4)
    vectors = [f(6), f(6, seed=1), f(6, seed=2), f(6, low=0.1)]
    yield made_case("batchnorm", "BatchNormalization", [x, *vectors])
    yield made_case("batchnorm_9", "BatchNormalization", [x, *vectors], opset=9)
    yield made_case(
        "batchnorm_training", "BatchNormalization", [x, *vectors], outputs=3, training_mode=1
    )
    yield made_case("instancenorm", "InstanceNormalization", [x, *vectors[:2]])
    yield made_case("groupnorm", "GroupNormalization", [x, *vectors[:2]], num_groups=3)
    groups = [f(3), f(3, seed=1)]
    yield made_case("groupnorm_18", "GroupNormalization", [x, *groups], num_groups=3, opset=18)
    yield made_case("layernorm", "LayerNormalization", [f(2, 6, 4), f(4), f(4)], outputs=3)
    two = [f(2, 6, 4), f(6, 4), f(6, 4)]
    yield made_case("layernorm_two", "LayerNormalization", two, axis=1, outputs=3)
    yield made_case("rmsnorm", "RMSNormalization", [f(2, 6, 4), f(4)], opset=23)
    yield made_case("lpnorm", "LpNormalization", [f(2, 6, 4)], axis=1)
    yield made_case("lrn", "LRN", [x], size=3)
    yield made_case("mvn", "MeanVarianceNormalization", [x], axes=[2, 3])
    yield made_case("softmax", "Softmax", [f(2, 6, 4)], axis=-1)
    yield made_case("softmax_11", "Softmax", [f(2, 6, 4)], axis=1, opset=11)
    yield made_case("logsoftmax_11", "LogSoftmax", [f(2, 6, 4)], axis=-1, opset=11)


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


def _reduction() -> Iterator[NodeCase]:
    operators = (
        "ReduceSum ReduceMean ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceSumSquare "
        "ReduceLogSumExp ReduceLogSum"
    ).split()
    for op in operators:
        low = 0.5 if op == "ReduceLogSum" else -2.0
        for axes, keep in (([1], 1), ([1], 0), ([0, 2], 0), ([1, 2], 1), ([-1], 0), ([], 1)):
            name = f"{op.lower()}_{'_'.join(map(str, axes))}_{keep}"
            x = f(2, 6, 4, low=low)
            yield made_case(name, op, [x, ints(*axes)], keepdims=keep)
            if axes:
                yield made_case(f"{name}_11", op, [x], keepdims=keep, axes=axes, opset=11)
    for op in ("ArgMax", "ArgMin"):
        yield made_case(op.lower(), op, [f(2, 6, 4)], axis=1, keepdims=0)
    yield made_case("cumsum", "CumSum", [f(2, 6, 4), np.int64(1)])
    yield made_case("topk", "TopK", [f(2, 6, 4), ints(2)], axis=1, outputs=2)
    yield made_case("hardmax", "Hardmax", [f(2, 6, 4)], axis=1)


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
    for name, values in tables.items():
        yield made_case(f"gather_{name}", "Gather", [x, np.array(values)], axis=1)
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
    onehot = [np.array([[0, 2], [1, 3]]), np.int64(4), np.array([0, 1], np.float32)]
    yield made_case("onehot", "OneHot", onehot)


def _recurrent() -> Iterator[NodeCase]:
    steps, batch, width, hidden = 3, 2, 5, 4
    x = f(steps, batch, width)
    for op, gates in (("LSTM", 4), ("GRU", 3), ("RNN", 1)):
        for direction, number in (("forward", 1), ("bidirectional", 2)):
            w, r = f(number, gates * hidden, width), f(number, gates * hidden, hidden)
            bias = f(number, 2 * gates * hidden)
            state = f(number, batch, hidden)
            common: dict[str, Any] = {
                "hidden_size": hidden, "direction": direction,
                "outputs": 3 if op == "LSTM" else 2,
            }  # fmt: skip
            name = f"{op.lower()}_{direction}"
            yield made_case(name, op, [x, w, r], **common)
            lengths = np.array([3, 2], np.int32)
            full = [x, w, r, bias, lengths, state]
            if op == "LSTM":
                full += [f(number, batch, hidden, seed=1), f(number, 3 * hidden)]
            yield made_case(f"{name}_full", op, full, **common)


def _control_flow() -> Iterator[NodeCase]:
    state, items = f(2, 6), f(5, 2, 6)
    yield text_case(
        "scan_channels",
        """(float[2,6] s, float[5,2,6] z) => (float[2,6] r, float[5,2,6] o) {
        r, o = Scan<num_scan_inputs = 1, body = b (float[2,6] a, float[2,6] e)
            => (float[2,6] a2, float[2,6] e2) { a2 = Add(a, e)  e2 = Mul(a2, e) }>(s, z) }""",
        [state, items],
    )
    yield text_case(
        "scan_last_axis",
        """(float[6] s, float[6,5] z) => (float[6] r, float[6,5] o) {
        r, o = Scan<num_scan_inputs = 1, scan_input_axes = [1], scan_output_axes = [-1],
            body = b (float[6] a, float[6] e) => (float[6] a2, float[6] e2)
            { a2 = Add(a, e)  e2 = Neg(a2) }>(s, z) }""",
        [f(6), f(6, 5)],
    )
    trips, go = np.int64(3), np.bool_(True)  # noqa: FBT003
    yield text_case(
        "loop_channels",
        """(int64 n, bool c, float[2,6] s) => (float[2,6] r, float[k,2,6] o) {
        r, o = Loop(n, c, s) <body = b (int64 i, bool d, float[2,6] a)
            => (bool d2, float[2,6] a2, float[2,6] e) { d2 = Identity(d)  a2 = Add(a, a)
            e = Neg(a) }> }""",
        [trips, go, state],
    )
    yield text_case(
        "if_channels",
        """(bool c, float[2,6] x) => (float[2,6] r) {
        r = If(c) <then_branch = t () => (float[2,6] a) { a = Neg(x) },
            else_branch = e () => (float[2,6] b) { b = Abs(x) }> }""",
        [go, state],
    )
