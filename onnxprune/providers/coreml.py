"""Core ML: CPU, GPU and Neural Engine of Apple's machines."""

from __future__ import annotations

from onnxprune.providers.facts import Package, ProviderFacts

__all__ = ["FACTS"]

FACTS = ProviderFacts(
    name="coreml",
    runtime_name="CoreMLExecutionProvider",
    title="Core ML",
    device="npu",
    packages=(
        Package(
            "onnxruntime",
            note="macOS; iOS: onnxruntime-c or onnxruntime-objc",
        ),
    ),
    options={
        "ModelFormat": "MLProgram or NeuralNetwork",
        "MLComputeUnits": "ALL, CPUAndNeuralEngine, CPUAndGPU or CPUOnly",
        "RequireStaticInputShapes": "1 leaves nodes with open sizes to the CPU",
        "EnableOnSubgraphs": "1 goes into control flow",
        "ModelCacheDirectory": "where compiled models are kept",
    },
    defaults={"ModelFormat": "MLProgram"},
    alignment={"float32": 1, "float16": 16},
    fixed_shapes="preferred",
    precision=("float32", "float16 on GPU and Neural Engine"),
    tolerance=2e-2,
    without_device="operator support, by name",
    notes=("NeuralNetwork and MLProgram support different operators",),
)
