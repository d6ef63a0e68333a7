"""TensorRT for RTX: NVIDIA's just-in-time compiler for consumer GPUs, a plug-in."""

from __future__ import annotations

from onnxprune.providers.facts import Package, ProviderFacts

__all__ = ["FACTS"]

FACTS = ProviderFacts(
    name="tensorrt_rtx",
    runtime_name="NvTensorRTRTXExecutionProvider",
    title="TensorRT for RTX",
    device="gpu",
    aliases=("trt_rtx", "nv_tensorrt_rtx"),
    packages=(
        Package(
            "onnxruntime-ep-nv-tensorrt-rtx",
            plugin="onnxruntime_ep_nv_tensorrt_rtx",
            note="Linux x86-64 and ARM64, Windows; GeForce RTX 20 and newer",
        ),
        Package("onnxruntime-trt-rtx", note="Windows"),
    ),
    options={
        "device_id": "which GPU",
        "enable_cuda_graph": "1 replays the launches",
        "nv_runtime_cache_path": "where compiled kernels are kept",
        "nv_profile_min_shapes": "smallest sizes, with _opt_ and _max_",
    },
    alignment={"float32": 4, "float16": 8, "int8": 32},
    layout="its own choice",
    fixed_shapes="preferred",
    precision=("float32", "float16", "bfloat16", "int8", "float8", "as the model has it"),
    tolerance=2e-3,
    without_device="that it is refused",
)
