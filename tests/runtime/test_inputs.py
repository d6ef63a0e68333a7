"""Inputs are read with their containers, types and symbols."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from onnxprune.errors import InvalidModelError
from onnxprune.runtime.inputs import InputSpec, input_specs


def _tensor(kind=TensorProto.FLOAT, dims=None):
    return helper.make_tensor_type_proto(kind, dims)


@pytest.mark.parametrize(
    ("declared", "dtype", "dims", "container"),
    [
        (_tensor(dims=[1, "N"]), np.float32, (1, "N"), "tensor"),
        (_tensor(TensorProto.INT64, []), np.int64, (), "tensor"),
        (_tensor(TensorProto.BFLOAT16, [None, 0]), ml_dtypes.bfloat16, ("x:0", 0), "tensor"),
        (_tensor(TensorProto.STRING, [-1, ""]), object, ("x:0", "x:1"), "tensor"),
        (_tensor(), np.float32, None, "tensor"),
        (_tensor(TensorProto.UNDEFINED, [1]), object, None, "other"),
        (helper.make_sequence_type_proto(_tensor(dims=["a"])), np.float32, ("a",), "sequence"),
        (helper.make_optional_type_proto(_tensor(dims=[2])), np.float32, (2,), "optional"),
        (
            helper.make_optional_type_proto(helper.make_sequence_type_proto(_tensor(dims=[2]))),
            np.float32,
            (2,),
            "optional sequence",
        ),
        (helper.make_map_type_proto(TensorProto.INT64, _tensor()), object, None, "other"),
        (helper.make_sparse_tensor_type_proto(TensorProto.FLOAT, [2]), object, None, "other"),
        (onnx.TypeProto(), object, None, "other"),
    ],
    ids=[
        "named dimension",
        "scalar",
        "unnamed dimension",
        "negative size",
        "no rank",
        "undefined element type",
        "sequence",
        "optional",
        "optional sequence",
        "map",
        "sparse",
        "nothing declared",
    ],
)
def test_declared_type(declared, dtype, dims, container):
    model = onnx.ModelProto()
    model.graph.input.add(name="x", type=declared)
    assert input_specs(model) == (InputSpec("x", np.dtype(dtype), dims, container),)


def test_initializers_are_no_inputs(make_model):
    model = make_model(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        [
            ("x", TensorProto.FLOAT, [2]),
            ("w", TensorProto.FLOAT, [2]),
            ("s", TensorProto.FLOAT, [2]),
        ],
        [("y", TensorProto.FLOAT, [2])],
        [("w", np.ones(2, np.float32))],
    )
    values = onnx.numpy_helper.from_array(np.ones(1, np.float32), "s")
    indices = onnx.numpy_helper.from_array(np.zeros(1, np.int64))
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [2]))
    assert [spec.name for spec in input_specs(model)] == ["x"]


def test_shape_needs_a_rank():
    spec = InputSpec("x\n", np.dtype(np.float32), None)
    with pytest.raises(InvalidModelError, match=r"input 'x\\x0a' declares no number of dimensions"):
        spec.shape({})
