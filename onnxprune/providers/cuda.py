"""CUDA: NVIDIA GPUs through cuDNN and cuBLAS."""

from __future__ import annotations

from onnxprune.providers.facts import Package, ProviderFacts

__all__ = ["FACTS"]

FACTS = ProviderFacts(
    name="cuda",
    runtime_name="CUDAExecutionProvider",
    title="CUDA",
    device="gpu",
    packages=(
        Package("onnxruntime-gpu", note="Linux and Windows x86-64, NVIDIA driver; CUDA, cuDNN"),
    ),
    options={
        "device_id": "which GPU",
        "cudnn_conv_algo_search": "EXHAUSTIVE, HEURISTIC or DEFAULT",
        "use_tf32": "0 keeps full single precision",
        "prefer_nhwc": "1 computes convolutions in NHWC",
        "enable_cuda_graph": "1 replays the launches; fixed sizes only",
        "gpu_mem_limit": "bytes of its arena",
    },
    # TF32 is on by default and would be a different precision than what it is compared with.
    defaults={"use_tf32": "0"},
    alignment={"float32": 4, "float16": 8, "int8": 16},
    layout="NCHW; NHWC with prefer_nhwc",
    precision=("float32", "TF32", "float16", "bfloat16"),
    tolerance=2e-3,
    without_device="that it is refused: without its libraries it leaves everything to the CPU",
    notes=("shape computations stay on the CPU on purpose, so a share of nodes below 1 is usual",),
)
