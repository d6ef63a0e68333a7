"""ROCm: AMD GPUs through MIOpen and hipBLAS; MIGraphX takes its place."""

from __future__ import annotations

from onnxprune.providers.facts import Package, ProviderFacts

__all__ = ["FACTS"]

FACTS = ProviderFacts(
    name="rocm",
    runtime_name="ROCMExecutionProvider",
    title="ROCm",
    device="gpu",
    packages=(Package("onnxruntime-rocm", note="Linux x86-64 with ROCm, up to version 1.22"),),
    options={
        "device_id": "which GPU",
        "miopen_conv_exhaustive_search": "1 searches longer",
        "tunable_op_enable": "1 picks kernels by measuring",
    },
    alignment={"float32": 4, "float16": 8},
    precision=("float32", "float16"),
    tolerance=2e-3,
    without_device="that it is refused",
    notes=("no longer built after ONNX Runtime 1.22: migraphx takes its place",),
)
