"""QNN: Qualcomm's Hexagon (HTP), Adreno and CPU backends."""

from __future__ import annotations

from onnxprune.providers.facts import Package, ProviderFacts

__all__ = ["FACTS"]

FACTS = ProviderFacts(
    name="qnn",
    runtime_name="QNNExecutionProvider",
    title="Qualcomm QNN",
    device="npu",
    packages=(
        Package(
            "onnxruntime-qnn",
            plugin="onnxruntime_qnn",
            note="Windows ARM64; Linux x86-64 (glibc 2.35) with an emulator of the HTP",
        ),
    ),
    options={
        "backend_type": "htp, gpu or cpu; saver and ir only write files, and give no results",
        "backend_path": "the library itself, instead of backend_type",
        "htp_arch": "68, 69, 73, 75, 79 or 81: what runs where depends on it",
        "soc_model": "number of the chip, 57 is Snapdragon 8 Gen 3",
        "htp_performance_mode": "burst, balanced, power_saver, ...",
        "enable_htp_fp16_precision": "0 keeps float32, which the HTP takes no models in",
    },
    defaults={"backend_type": "htp"},
    alignment={"float16": 32, "int8": 32},
    layout="NHWC",
    fixed_shapes="required",
    precision=("float16", "int8 and int16 (QDQ)"),
    tolerance=2e-2,
    emulated_on=("x86_64", "AMD64"),
    without_device="correctness, placement and compiled contexts, on the emulator; never a latency",
    writes_files=True,
    notes=("give htp_arch and soc_model: placement differs between chips",),
)
