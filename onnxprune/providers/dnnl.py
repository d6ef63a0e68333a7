"""oneDNN (DNNL): Intel's kernel library for CPUs."""

from __future__ import annotations

from onnxprune.providers.facts import Package, ProviderFacts

__all__ = ["FACTS"]

FACTS = ProviderFacts(
    name="dnnl",
    runtime_name="DnnlExecutionProvider",
    title="oneDNN",
    device="cpu",
    aliases=("onednn",),
    packages=(
        Package(
            "",
            note="no package for Python has it: build ONNX Runtime with --use_dnnl",
        ),
    ),
    options={"use_arena": "0 gives memory back after every run"},
    alignment={"float32": 16, "int8": 16},
    layout="blocked (nChw16c)",
    precision=("float32", "bfloat16", "int8 (QDQ)"),
    without_device="everything, on any x86-64 CPU",
    notes=("its threads follow OMP_NUM_THREADS",),
)
