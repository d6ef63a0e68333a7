"""The CPU provider, which every build of ONNX Runtime has and every other is compared with."""

from __future__ import annotations

from onnxprune.providers.facts import Package, ProviderFacts

__all__ = ["FACTS"]

FACTS = ProviderFacts(
    name="cpu",
    runtime_name="CPUExecutionProvider",
    title="CPU (MLAS)",
    device="cpu",
    packages=(Package("onnxruntime", note="Linux, macOS and Windows, x86-64 and ARM64"),),
    options={"use_arena": "0 gives memory back after every run"},
    # Convolutions run on blocks of channels: 8 floats with AVX2, 16 with AVX-512.
    alignment={"float32": 16, "int8": 4},
    layout="NCHWc (blocked) for convolutions",
    blocks_images=True,
    precision=("float32", "float64", "int8", "int4 weights", "float16 on ARM64"),
    without_device="everything",
    notes=("a convolution whose channels are no multiple of the block stays in plain NCHW",),
)
