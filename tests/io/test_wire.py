"""The wire walk: what it refuses, what it finds, what it puts in place."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxprune.io.skeleton import Stub, read_skeleton, stub_of
from onnxprune.io.wire import WireError, encode_varint, fields, replace_tensors


def field(number, wire_type, payload=b""):
    return encode_varint(number << 3 | wire_type) + payload


def sized(number, payload):
    return field(number, 2, encode_varint(len(payload)) + payload)


@pytest.mark.parametrize(
    ("data", "reason", "truncated"),
    [
        (b"\x00\x00", "number 0", False),
        (field(1, 3), "wire type 3", False),
        (field(1, 4), "wire type 4", False),
        (field(1, 6), "wire type 6", False),
        (field(1, 7), "wire type 7", False),
        (field(1, 0), "runs past the end", True),
        (field(1, 0, b"\xff\xff"), "runs past the end", True),
        (field(1, 0, b"\xff" * 11), "longer than 64 bits", False),
        (field(1, 0, b"\xff" * 9 + b"\x7f"), "longer than 64 bits", False),
        (field(1, 1, b"1234567"), "1 bytes more", True),
        (field(1, 5, b"123"), "1 bytes more", True),
        (field(1, 2, b"\x05abc"), "2 bytes more", True),
        (field(1, 2, encode_varint(1 << 63)), "bytes more", True),
        (b"\x80\x80\x80\x80\x80\x80\x01", "number", False),
    ],
)
def test_fields_refuses(data, reason, truncated):
    with pytest.raises(WireError, match=reason) as caught:
        list(fields(memoryview(data), 0, len(data)))
    assert caught.value.truncated is truncated


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (field(1, 0, b"\x08") + field(31, 0, b"\x01"), "field 31"),
        (sized(7, b"") * 2, "'graph' occurs a second time"),
        (field(1, 0, b"\x08") * 2, "'ir_version' occurs a second time"),
        (sized(7, sized(1, sized(5, sized(6, b"")))) + b"\xff", "runs past the end"),
    ],
)
def test_replace_tensors_refuses(data, reason):
    with pytest.raises(WireError, match=reason):
        replace_tensors(memoryview(data), lambda *_: None, min_size=0)


@pytest.mark.parametrize("depth", [34, 400, 5000])
def test_nesting_is_bounded(depth):
    graph = b""
    for _ in range(depth):
        graph = sized(1, sized(5, sized(6, graph)))
    with pytest.raises(WireError, match="nested more than"):
        replace_tensors(memoryview(sized(7, graph)), lambda *_: None, min_size=0)


def test_singular_graphs_in_attributes_do_not_merge():
    data = sized(7, sized(1, sized(5, sized(6, b"") * 2)))
    with pytest.raises(WireError, match="'g' occurs a second time"):
        replace_tensors(memoryview(data), lambda *_: None, min_size=0)


LARGE = np.arange(1000, dtype=np.float32)


def in_attribute(node, name, kind, **fields):
    node.attribute.add(name=name, type=kind, **fields)


def in_sparse(sparse, tensor):
    sparse.values.CopyFrom(tensor)


# How to put a tensor into each place that can hold one.
PLACES = {
    "initializer": lambda m, t: m.graph.initializer.append(t),
    "attribute": lambda m, t: in_attribute(m.graph.node.add(), "value", 4, t=t),
    "tensors": lambda m, t: in_attribute(m.graph.node.add(), "many", 9, tensors=[t]),
    "subgraph": lambda m, t: in_attribute(
        m.graph.node.add(), "body", 5, g=onnx.GraphProto(initializer=[t])
    ),
    "graphs": lambda m, t: in_attribute(
        m.graph.node.add(), "many", 10, graphs=[onnx.GraphProto(initializer=[t])]
    ),
    "sparse": lambda m, t: in_sparse(m.graph.sparse_initializer.add(), t),
    "sparse attribute": lambda m, t: in_attribute(
        m.graph.node.add(), "value", 11, sparse_tensor=onnx.SparseTensorProto(values=t)
    ),
    "function": lambda m, t: in_attribute(m.functions.add().node.add(), "value", 4, t=t),
    "function default": lambda m, t: m.functions.add().attribute_proto.add(name="d", type=4, t=t),
    "training": lambda m, t: m.training_info.add().algorithm.initializer.append(t),
}


def tensor_in(place):
    """Return a model with one large tensor named t at a place."""
    model = onnx.ModelProto(ir_version=8)
    PLACES[place](model, numpy_helper.from_array(LARGE, "t"))
    return model


@pytest.mark.parametrize("place", PLACES)
def test_payloads_are_found_everywhere(place):
    content = tensor_in(place).SerializeToString()
    skeleton, stubs = read_skeleton(memoryview(content))
    (stub,) = stubs
    assert content[stub.offset : stub.offset + stub.length] == LARGE.tobytes()
    assert len(skeleton) < 300
    onnx.ModelProto.FromString(skeleton)


TENSORS = {
    "raw": (numpy_helper.from_array(LARGE, "t"), "raw_data"),
    "float": (helper.make_tensor("t", TensorProto.FLOAT, [1000], LARGE), "float_data"),
    "double": (helper.make_tensor("t", TensorProto.DOUBLE, [1000], LARGE), "double_data"),
    "complex": (helper.make_tensor("t", TensorProto.COMPLEX64, [1000], LARGE), "float_data"),
    "int64": (helper.make_tensor("t", TensorProto.INT64, [1000], LARGE.astype(int)), None),
    "float16": (helper.make_tensor("t", TensorProto.FLOAT16, [1000], LARGE), None),
    "string": (helper.make_tensor("t", TensorProto.STRING, [1000], [b"text"] * 1000), None),
    "small": (numpy_helper.from_array(LARGE[:255], "t"), None),
}


@pytest.mark.parametrize(("tensor", "field_name"), TENSORS.values(), ids=TENSORS)
def test_only_fixed_width_payloads_of_a_kilobyte_become_stubs(tensor, field_name):
    model = onnx.ModelProto()
    model.graph.initializer.append(tensor)
    skeleton, stubs = read_skeleton(memoryview(model.SerializeToString()))
    (found,) = onnx.ModelProto.FromString(skeleton).graph.initializer
    stub = stub_of(found)
    assert (stub and stub.field) == field_name
    assert stubs == ({stub} if stub else frozenset())
    assert (found.dims, found.data_type, found.name) == (tensor.dims, tensor.data_type, "t")


def test_explicit_location_is_remembered():
    model = onnx.ModelProto()
    tensor = numpy_helper.from_array(LARGE, "t")
    tensor.data_location = TensorProto.DEFAULT
    model.graph.initializer.append(tensor)
    skeleton, _ = read_skeleton(memoryview(model.SerializeToString()))
    stub = stub_of(onnx.ModelProto.FromString(skeleton).graph.initializer[0])
    assert stub is not None
    assert stub.explicit


@pytest.mark.parametrize(
    "entries",
    [
        {},
        {"location": "file", "field": "raw_data", "offset": "0", "length": "1"},
        {"location": "", "field": "raw_data", "offset": "x", "length": "1"},
        {"location": "", "field": "raw_data", "length": "1"},
        {"location": "", "field": "raw_data", "offset": "9" * 5000, "length": "1"},
    ],
)
def test_other_external_data_is_no_stub(entries):
    tensor = TensorProto(data_location=TensorProto.EXTERNAL)
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    assert stub_of(tensor) is None


def test_stub_says_where():
    content = tensor_in("initializer").SerializeToString()
    _, stubs = read_skeleton(memoryview(content))
    assert stubs == {Stub(content.index(LARGE.tobytes()), 4000, "raw_data", explicit=False)}
