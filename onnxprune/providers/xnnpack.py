"""XNNPACK: float and quantised kernels for phones, in ONNX Runtime's mobile packages."""

from __future__ import annotations

from onnxprune.providers.facts import Package, ProviderFacts

__all__ = ["FACTS"]

FACTS = ProviderFacts(
    name="xnnpack",
    runtime_name="XnnpackExecutionProvider",
    title="XNNPACK",
    device="cpu",
    packages=(
        Package(
            "",
            note="no package for Python has it: build ONNX Runtime with --use_xnnpack, or take "
            "onnxruntime-android or onnxruntime-c (iOS)",
        ),
    ),
    options={"intra_op_num_threads": "threads of its own pool; leave ONNX Runtime's at 1 then"},
    thread_option="intra_op_num_threads",
    alignment={"float32": 4, "int8": 8},
    layout="NHWC",
    fixed_shapes="preferred",
    precision=("float32", "int8 (QDQ)"),
    without_device="operator support, by name",
    notes=(
        (
            "takes Conv, ConvTranspose, Gemm, MatMul, pooling, Resize and Softmax; "
            "all else runs on the CPU provider"
        ),
    ),
)
