"""OpenVINO: Intel's compiler for CPU, GPU and NPU; its CPU plug-in runs on any x86-64 and ARM64."""

from __future__ import annotations

from onnxprune.providers.facts import Package, ProviderFacts

__all__ = ["FACTS"]

FACTS = ProviderFacts(
    name="openvino",
    runtime_name="OpenVINOExecutionProvider",
    title="OpenVINO",
    device="cpu",
    packages=(
        Package("onnxruntime-openvino", note="Linux and Windows x86-64; any x86-64 CPU"),
        Package(
            "onnxruntime-ep-openvino",
            plugin="onnxruntime_ep_openvino",
            note="beside any build of ONNX Runtime; offers devices of Intel only",
        ),
    ),
    options={
        "device_type": "CPU, GPU, NPU, AUTO:GPU\\,CPU, ...",
        "precision": "FP32, FP16 or ACCURACY",
        "num_of_threads": "threads of its own",
        "num_streams": "runs at the same time",
        "cache_dir": "where compiled models are kept",
        "load_config": "a file with further properties",
        "disable_dynamic_shapes": "True compiles for the first sizes it sees",
    },
    defaults={"device_type": "CPU"},
    thread_option="num_of_threads",
    alignment={"float32": 16, "int8": 16},
    layout="blocked, its own choice",
    fixed_shapes="preferred",
    precision=("float32", "float16", "bfloat16 on AMX", "int8 (QDQ)"),
    without_device="CPU: everything; GPU and NPU: nothing",
    notes=("the whole model becomes one node, so profiles tell nothing by operator",),
)
