"""Arm Compute Library: kernels for ARM CPUs."""

from __future__ import annotations

from onnxprune.providers.facts import Package, ProviderFacts

__all__ = ["FACTS"]

FACTS = ProviderFacts(
    name="acl",
    runtime_name="ACLExecutionProvider",
    title="Arm Compute Library",
    device="cpu",
    packages=(Package("", note="no package has it: build ONNX Runtime with --use_acl, on ARM64"),),
    options={"enable_fast_math": "true allows bfloat16 inside"},
    alignment={"float32": 4, "int8": 16},
    layout="NCHW and NHWC",
    fixed_shapes="preferred",
    precision=("float32", "float16", "int8"),
    without_device="nothing",
)
