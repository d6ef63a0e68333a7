"""TensorRT: NVIDIA's compiler, built into ONNX Runtime's GPU packages."""

from __future__ import annotations

from onnxprune.providers.facts import Package, ProviderFacts

__all__ = ["FACTS"]

FACTS = ProviderFacts(
    name="tensorrt",
    runtime_name="TensorrtExecutionProvider",
    title="TensorRT",
    device="gpu",
    aliases=("trt",),
    packages=(
        Package(
            "onnxruntime-gpu tensorrt",
            note="Linux and Windows x86-64; TensorRT's libraries on the loader's path",
        ),
    ),
    options={
        "device_id": "which GPU",
        "trt_fp16_enable": "1 allows half precision",
        "trt_int8_enable": "1 allows 8 bits",
        "trt_engine_cache_enable": "1 keeps engines, with trt_engine_cache_path",
        "trt_timing_cache_enable": "1 keeps what it measured",
        "trt_max_workspace_size": "bytes it may use while it builds",
        "trt_profile_min_shapes": "smallest sizes, with _opt_ and _max_",
    },
    alignment={"float32": 4, "float16": 8, "int8": 32},
    layout="its own choice, measured while it builds",
    fixed_shapes="preferred",
    precision=("float32", "TF32", "float16", "bfloat16", "int8", "float8"),
    tolerance=2e-3,
    without_device="that it is refused",
    notes=("building an engine takes minutes; the first run is no measure of anything",),
)
