"""The table of element types agrees with onnx."""

from __future__ import annotations

import subprocess
import sys

import onnx
import pytest

from onnxprune.runtime import element_types

_KNOWN = [
    (name, number)
    for name, number in onnx.TensorProto.DataType.items()
    if element_types.by_number(number) is not None
]


def test_common_types_are_known():
    names = {name for name, _ in _KNOWN}
    assert {"FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE", "INT64", "STRING", "BOOL", "INT4"} <= names


@pytest.mark.parametrize(("name", "number"), _KNOWN)
def test_agrees_with_onnx(name, number):
    element = element_types.by_number(number)
    assert element.dtype == onnx.helper.tensor_dtype_to_np_dtype(number)
    runtime_name = {"FLOAT": "float", "DOUBLE": "double"}.get(name, name.lower())
    assert element.name == runtime_name
    assert element_types.by_runtime_type(f"tensor({runtime_name})") is element


@pytest.mark.parametrize("runtime_type", ["seq(tensor(float))", "tensor(nothing)", ""])
def test_other_runtime_types(runtime_type):
    assert element_types.by_runtime_type(runtime_type) is None


def test_types_of_numpy_do_without_ml_dtypes():
    code = "import sys; sys.modules['ml_dtypes'] = None;"
    code += "from onnxprune.runtime.element_types import by_runtime_type as t;"
    code += "print(t('tensor(float16)') is None, t('tensor(bfloat16)') is None)"
    command = [sys.executable, "-c", code]
    seen = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert seen == "False True\n"
