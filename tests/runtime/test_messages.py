"""ONNX Runtime's error texts become one short line."""

from __future__ import annotations

import pytest

from onnxprune.runtime.messages import is_out_of_memory, short_reason

_SOURCE = "/onnxruntime_src/onnxruntime/core"
_FAIL = "[ONNXRuntimeError] : 1 : FAIL : "
_RUNNING = "Non-zero status code returned while running"

_REASONS = {
    "": "",
    "already short": "already short",
    "was false. ": "was false.",
    "evil \x1b[31m name": r"evil \x1b[31m name",
    (
        "[ONNXRuntimeError] : 7 : INVALID_PROTOBUF : "
        "Load model from /a b/m failed.onnx failed:Protobuf parsing failed."
    ): "Protobuf parsing failed.",
    (
        f"{_FAIL}Load model from m.onnx failed:{_SOURCE}/graph/model.cc:256 "
        "onnxruntime::Model::Model(onnx::ModelProto&&, const onnxruntime::PathString&, "
        "const onnxruntime::ModelOptions&) "
        "Unsupported model IR version: 99, max supported IR version: 13\n"
    ): "Unsupported model IR version: 99, max supported IR version: 13",
    (
        f"{_FAIL}{_SOURCE}/graph/model_load_utils.h:46 void onnxruntime::model_load_utils::"
        "ValidateOpsetForDomain(const std::unordered_map<std::__cxx11::basic_string<char>, int>&, "
        "bool, int) ONNX Runtime only *guarantees* support for models stamped with official "
        "released onnx opset versions. Opset 99 is under development and support for this is "
        "limited. The operator schemas may change. Current official support for domain ai.onnx is "
        "till opset 26.\n"
    ): "opset 99 of domain ai.onnx is newer than 26, the newest it supports",
    (
        "[ONNXRuntimeError] : 10 : INVALID_GRAPH : This is an invalid model. In Node, "
        '("n", Foo, "", -1) : ("x": tensor(float),) -> ("y": tensor(float),) , Error No Op '
        "registered for Foo with domain_version of 17"
    ): "node 'n' (Foo): No Op registered for Foo with domain_version of 17",
    (
        f"{_FAIL}This is an invalid model. Error: the graph is not acyclic."
    ): "the graph is not acyclic.",
    (
        f"{_FAIL}Node (a1) Op (Add) [ShapeInferenceError] Incompatible dimensions"
    ): "node 'a1' (Add): Incompatible dimensions",
    (
        f"{_FAIL}{_RUNNING} If node. Name:'if1' Status Message: {_RUNNING} MatMul node. "
        "Name:'inner' Status Message: matmul_helper.h:59 Compute MatMul dimension mismatch"
    ): "node 'inner' (MatMul): MatMul dimension mismatch",
    (
        f"{_FAIL}{_RUNNING} Reshape node. Name:'r1' Status Message: "
        f"{_SOURCE}/providers/cpu/tensor/reshape_helper.h:91 "
        "onnxruntime::ReshapeHelper::ReshapeHelper(const onnxruntime::TensorShape&, bool) "
        "input_shape_size == requested_shape_size was false. The input tensor cannot be reshaped "
        "to the requested shape. Input shape:{4,3}, requested shape:{5,7}\n"
    ): (
        "node 'r1' (Reshape): The input tensor cannot be reshaped to the requested shape. "
        "Input shape:{4,3}, requested shape:{5,7}"
    ),
    (
        f"{_FAIL}Exception during initialization: {_SOURCE}/common/safeint.h:17 static void "
        "SafeIntExceptionHandler<onnxruntime::OnnxRuntimeException>::SafeIntOnOverflow() "
        "Integer overflow\n"
    ): "Integer overflow",
    (
        f"{_SOURCE}/framework/op_kernel_context.h:45 const T* onnxruntime::OpKernelContext::"
        "Input(int) const [with T = onnxruntime::Tensor] Missing Input: x"
    ): "Missing Input: x",
    (
        f"{_SOURCE}/a.cc:291 onnxruntime::f(pybind11::module&)::<lambda(pybind11::array&, int)> "
        "Items size"
    ): "Items size",
    f"{_SOURCE}/a.cc:1 no signature at all": "no signature at all",
    (
        "[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Got invalid dimensions for input: x for the "
        "following indices\n index: 1 Got: 4 Expected: 3\n Please fix either the inputs/outputs or "
        "the model."
    ): (
        "Got invalid dimensions for input: x for the following indices index: 1 Got: 4 Expected: 3"
    ),
}


@pytest.mark.parametrize(("text", "reason"), _REASONS.items())
def test_short_reason(text, reason):
    assert short_reason(text) == reason


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "a.h",
        "Load model from ",
        "Node (",
        "/a.cc:1 f(",
        "This is an invalid model. In Node, (",
    ],
)
def test_short_reason_is_short_and_quick(text):
    assert len(short_reason(text * 100_000)) < 600


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Failed to allocate memory for requested buffer of size 17179869184", True),
        ("std::bad_alloc", True),
        ("Integer overflow", False),
    ],
)
def test_is_out_of_memory(text, expected):
    assert is_out_of_memory(text) is expected
