"""MIGraphX: AMD GPUs through ROCm."""

from __future__ import annotations

from onnxprune.providers.facts import Package, ProviderFacts

__all__ = ["FACTS"]

FACTS = ProviderFacts(
    name="migraphx",
    runtime_name="MIGraphXExecutionProvider",
    title="MIGraphX",
    device="gpu",
    packages=(Package("onnxruntime-migraphx", note="Linux x86-64 with ROCm"),),
    options={
        "device_id": "which GPU",
        "migraphx_fp16_enable": "1 allows half precision",
        "migraphx_int8_enable": "1 allows 8 bits",
        "migraphx_exhaustive_tune": "1 searches longer while it compiles",
    },
    alignment={"float32": 4, "float16": 8, "int8": 16},
    layout="its own choice",
    fixed_shapes="preferred",
    precision=("float32", "float16", "bfloat16", "int8", "float8"),
    tolerance=2e-3,
    without_device="that it is refused",
)
