"""Tensors: types, dims and payloads have to agree, and are read as they are written."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxprune.errors import InvalidModelError
from onnxprune.io import load_model


def raw(data_type, dims, data):
    return TensorProto(name="t", data_type=data_type, dims=dims, raw_data=data)


def typed(data_type, dims, **data):
    return TensorProto(name="t", data_type=data_type, dims=dims, **data)


FLOAT, INT4, STRING = TensorProto.FLOAT, TensorProto.INT4, TensorProto.STRING

REFUSED = {
    "negative dim": (raw(FLOAT, [-1], b""), "none may be negative"),
    "two negative dims": (raw(FLOAT, [-2, -2], bytes(16)), "none may be negative"),
    "product is 2^64": (raw(FLOAT, [1 << 32, 1 << 32], b""), "too large"),
    "product wraps to 4": (raw(FLOAT, [4194305, 4194305, 211106198978564], bytes(16)), "too large"),
    "product beyond 2^62": (raw(TensorProto.INT8, [1 << 62, 2], b""), "too large"),
    "bytes beyond 2^62": (raw(TensorProto.DOUBLE, [1 << 61], b""), "too large"),
    "rank 65": (raw(FLOAT, [1] * 65, bytes(4)), "65 dims"),
    "a million dims": (raw(FLOAT, [1] * 1_000_000, bytes(4)), "1000000 dims"),
    "one byte short": (raw(FLOAT, [2], bytes(7)), "7 bytes of data"),
    "one byte long": (raw(FLOAT, [2], bytes(9)), "9 bytes of data"),
    "no data": (typed(FLOAT, [2]), "0 bytes of data"),
    "data for nothing": (raw(FLOAT, [0], bytes(4)), "4 bytes of data"),
    "large, one element short": (raw(FLOAT, [1000], bytes(3996)), "3996 bytes of data"),
    "int4 short": (raw(INT4, [3], bytes(1)), "1 bytes of data"),
    "int4 long": (raw(INT4, [3], bytes(3)), "3 bytes of data"),
    "float entries": (typed(FLOAT, [2], float_data=[1, 2, 3]), "3 entries"),
    "many float entries": (typed(FLOAT, [999], float_data=[0] * 1000), "4000 bytes of data"),
    "complex entries": (typed(TensorProto.COMPLEX64, [2], float_data=[1, 2]), "2 entries"),
    "int4 entries": (typed(INT4, [4], int32_data=[1, 2, 3, 4]), "4 entries"),
    "too few strings": (typed(STRING, [2], string_data=[b"a"]), "1 entries"),
    "raw strings": (raw(STRING, [1], b"a"), "its data in raw_data"),
    "float in int32_data": (typed(FLOAT, [1], int32_data=[1]), "its data in int32_data"),
    "half in float_data": (typed(TensorProto.FLOAT16, [1], float_data=[1]), "in float_data"),
    "much half in float_data": (
        typed(TensorProto.FLOAT16, [2000], float_data=[1] * 1000),
        "in float_data",
    ),
    "raw and float": (typed(FLOAT, [1], raw_data=bytes(4), float_data=[1]), "only one"),
    "two fields": (typed(FLOAT, [1], int32_data=[1], float_data=[1]), "only one"),
    "large and small": (typed(FLOAT, [1000], raw_data=bytes(4000), int32_data=[1]), "only one"),
    "undefined type": (raw(TensorProto.UNDEFINED, [1], bytes(4)), "UNDEFINED"),
    "unknown type": (raw(999, [1], bytes(4)), "number 999"),
    "negative type": (raw(-1, [1], bytes(4)), "number -1"),
    "segment": (
        TensorProto(
            name="t", data_type=1, dims=[1], raw_data=bytes(4), segment=TensorProto.Segment()
        ),
        "segment",
    ),
}


@pytest.mark.parametrize("place", ["initializer", "attribute", "function"])
@pytest.mark.parametrize(("tensor", "said"), REFUSED.values(), ids=REFUSED)
def test_refused_wherever_it_sits(save, two_convs, tensor, said, place):
    if place == "initializer":
        two_convs.graph.initializer.append(tensor)
    else:
        node = helper.make_node("Constant", [], ["c"], name="constant", value=tensor)
        if place == "attribute":
            two_convs.graph.node.append(node)
        else:
            opsets = [helper.make_opsetid("", 17)]
            function = helper.make_function("f", "F", [], ["c"], [node], opsets)
            two_convs.functions.append(function)
    with pytest.raises(InvalidModelError, match=said) as caught:
        load_model(save(two_convs))
    if "a second time" not in str(caught.value):
        assert "'t'" in str(caught.value)


def test_large_payload_given_twice(save, two_convs):
    tensor = typed(FLOAT, [1000], raw_data=bytes(4000), float_data=[0] * 1000)
    two_convs.graph.initializer.append(tensor)
    with pytest.raises(InvalidModelError, match="a second time"):
        load_model(save(two_convs))


VALUES = np.arange(-6, 6)
DTYPES = {
    **{
        np.dtype(dtype).name: np.dtype(dtype)
        for dtype in (
            *("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?", "c8", "c16"),
            *(ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e4m3fnuz),
            *(ml_dtypes.float8_e5m2, ml_dtypes.float8_e5m2fnuz, ml_dtypes.int4, ml_dtypes.uint4),
        )
    }
}


@pytest.mark.parametrize("count", [12, 11, 0, 2400], ids=lambda n: f"{n} elements")
@pytest.mark.parametrize("form", ["raw", "typed"])
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
def test_every_type_reads_as_onnx_reads_it(save, two_convs, dtype, form, count):
    array = np.resize(np.abs(VALUES) if dtype.kind == "u" else VALUES, count).astype(dtype)
    if form == "raw":
        tensor = numpy_helper.from_array(array, "t")
    else:
        data_type = helper.np_dtype_to_tensor_dtype(dtype)
        tensor = helper.make_tensor("t", data_type, [count], array.tolist())
    two_convs.graph.initializer.append(tensor)
    model = load_model(save(two_convs))
    found = model.array(model.proto.graph.initializer[-1])
    wanted = numpy_helper.to_array(tensor)
    assert found.dtype == wanted.dtype
    assert found.shape == wanted.shape
    assert found.tobytes() == wanted.tobytes()
    assert not found.flags.writeable


def test_large_arrays_are_mapped_not_copied(save, two_convs):
    model = load_model(save(two_convs))
    first, again = (model.array(model.proto.graph.initializer[0]) for _ in range(2))
    assert np.shares_memory(first, again)


def test_strings_keep_their_bytes(save, two_convs):
    texts = [b"plain", "größe".encode(), b"\xff\x00", b""]
    two_convs.graph.initializer.append(typed(STRING, [2, 2], string_data=texts))
    model = load_model(save(two_convs))
    found = model.array(model.proto.graph.initializer[-1])
    assert found.shape == (2, 2)
    assert [text.encode("utf-8", "surrogateescape") for text in found.reshape(-1)] == texts


def sparse(values, indices, dims, index_type=np.int64):
    return onnx.SparseTensorProto(
        values=numpy_helper.from_array(np.array(values, np.float32), "sp"),
        indices=numpy_helper.from_array(np.array(indices, index_type)),
        dims=dims,
    )


SPARSE_REFUSED = {
    "flat index past the end": sparse([1], [6], [2, 3]),
    "negative index": sparse([1], [-1], [2, 3]),
    "index past its dim": sparse([1], [[0, 3]], [2, 3]),
    "wrong rank of indices": sparse([1], [[0, 0, 0]], [2, 3]),
    "wrong number of indices": sparse([1, 2], [0], [2, 3]),
    "values of rank 2": sparse([[1]], [0], [2, 3]),
    "int32 indices": sparse([1], [0], [2, 3], np.int32),
    "negative dim": sparse([1], [0], [-2, -3]),
    "expands to a terabyte": sparse([1], [0], [1 << 19, 1 << 19]),
    "overflows": sparse([1], [0], [1 << 32, 1 << 32]),
    "many indices, last one bad": sparse([1] * 500, [*range(499), 10**6], [1000]),
}


@pytest.mark.parametrize("tensor", SPARSE_REFUSED.values(), ids=SPARSE_REFUSED)
def test_sparse_refused(save, two_convs, tensor):
    two_convs.graph.sparse_initializer.append(tensor)
    with pytest.raises(InvalidModelError, match="'sp' is a sparse tensor"):
        load_model(save(two_convs))


@pytest.mark.parametrize(
    "tensor",
    [sparse([1, 2], [0, 5], [2, 3]), sparse([1, 2], [[0, 0], [1, 2]], [2, 3]), sparse([], [], [5])],
    ids=["flat", "coordinates", "nothing"],
)
def test_sparse_accepted(save, two_convs, tensor):
    two_convs.graph.sparse_initializer.append(tensor)
    loaded = load_model(save(two_convs)).proto.graph
    assert loaded.sparse_initializer == two_convs.graph.sparse_initializer
