"""DirectML: any DirectX 12 GPU on Windows."""

from __future__ import annotations

from onnxprune.providers.facts import Package, ProviderFacts

__all__ = ["FACTS"]

FACTS = ProviderFacts(
    name="directml",
    runtime_name="DmlExecutionProvider",
    title="DirectML",
    device="gpu",
    aliases=("dml",),
    packages=(Package("onnxruntime-directml", note="Windows with DirectX 12"),),
    options={
        "device_id": "which adapter",
        "device_filter": "gpu, npu or any",
        "performance_preference": "default, high_performance or minimum_power",
    },
    alignment={"float32": 4, "float16": 8},
    fixed_shapes="preferred",
    precision=("float32", "float16", "int8"),
    tolerance=2e-3,
    without_device="nothing, except with the software adapter (WARP), which proves no latency",
    notes=("takes one run at a time, and no memory pattern",),
)
