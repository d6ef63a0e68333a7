"""WebGPU: any GPU with Vulkan, Metal or Direct3D 12, and browsers."""

from __future__ import annotations

from onnxprune.providers.facts import Package, ProviderFacts

__all__ = ["FACTS"]

FACTS = ProviderFacts(
    name="webgpu",
    runtime_name="WebGpuExecutionProvider",
    title="WebGPU",
    device="gpu",
    packages=(
        Package(
            "onnxruntime-ep-webgpu",
            plugin="onnxruntime_ep_webgpu",
            note="beside any build of ONNX Runtime; a GPU that it finds",
        ),
        Package("onnxruntime-webgpu", note="Linux, macOS and Windows"),
    ),
    options={
        "dawnBackendType": "Vulkan or D3D12",
        "preferredLayout": "NHWC or NCHW",
        "enableGraphCapture": "1 replays the launches",
        "powerPreference": "high-performance or low-power",
    },
    alignment={"float32": 4, "float16": 4},
    layout="NHWC",
    fixed_shapes="preferred",
    precision=("float32", "float16"),
    without_device="correctness, on a software adapter (VK_DRIVER_FILES=...swiftshader...)",
)
