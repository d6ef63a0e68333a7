"""NNAPI: Android's interface to accelerators (up to Android 14)."""

from __future__ import annotations

from onnxprune.providers.facts import Package, ProviderFacts

__all__ = ["FACTS"]

FACTS = ProviderFacts(
    name="nnapi",
    runtime_name="NnapiExecutionProvider",
    title="NNAPI",
    device="npu",
    packages=(
        Package(
            "", note="only on Android: Maven package com.microsoft.onnxruntime:onnxruntime-android"
        ),
    ),
    options={
        "NNAPI_FLAG_USE_FP16": "allows half precision",
        "NNAPI_FLAG_USE_NCHW": "keeps NCHW",
        "NNAPI_FLAG_CPU_DISABLED": "keeps it off its own CPU implementation",
        "NNAPI_FLAG_CPU_ONLY": "its reference implementation: correctness only",
    },
    alignment={"float32": 1, "int8": 16},
    layout="NHWC",
    fixed_shapes="required",
    precision=("float32", "float16", "int8 (QDQ)"),
    tolerance=2e-2,
    without_device="operator support, by name",
    notes=("deprecated by Android 15: qnn or xnnpack take its place",),
)
