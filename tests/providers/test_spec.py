from __future__ import annotations

import pickle

import pytest

from onnxprune.errors import InvalidConfigError
from onnxprune.providers import PROVIDERS, find_provider, parse_spec, register_provider


@pytest.mark.parametrize(
    ("text", "name", "given"),
    [
        ("cpu", "CPUExecutionProvider", {}),
        ("CPUExecutionProvider", "CPUExecutionProvider", {}),
        ("trt", "TensorrtExecutionProvider", {}),
        ("trt-rtx", "NvTensorRTRTXExecutionProvider", {}),
        ("cuda:device_id=1", "CUDAExecutionProvider", {"device_id": "1"}),
        ("qnn: htp_arch=75 , soc_model=57", "QNNExecutionProvider",
         {"htp_arch": "75", "soc_model": "57"}),
        (r"openvino:device_type=AUTO:GPU\,CPU", "OpenVINOExecutionProvider",
         {"device_type": "AUTO:GPU,CPU"}),
        ("qnn:backend_path=/a=b/c", "QNNExecutionProvider", {"backend_path": "/a=b/c"}),
        ("webgpu:x=", "WebGpuExecutionProvider", {"x": ""}),
    ],
)  # fmt: skip
def test_spec_is_parsed(text, name, given):
    spec = parse_spec(text)
    assert (spec.text, spec.name, spec.given) == (text, name, given)


@pytest.mark.parametrize("text", ["", "tpu", "cpu:", "cpu:x", "cpu:=1", "cuda:a=1,a=2", "qnn:a=1,"])
def test_other_forms_are_refused(text):
    with pytest.raises(InvalidConfigError) as caught:
        parse_spec(text)
    assert caught.value.hint


def test_options_are_defaults_and_threads_and_what_is_given():
    spec = parse_spec("openvino:cache_dir=x")
    expected = {"device_type": "CPU", "num_of_threads": "2", "cache_dir": "x"}
    assert spec.options(threads=2) == expected
    assert "num_of_threads" not in spec.options(threads=0)
    assert parse_spec("openvino:device_type=NPU").options()["device_type"] == "NPU"


@pytest.mark.parametrize("name", PROVIDERS)
def test_facts_are_complete(name):
    facts = PROVIDERS[name]
    assert facts.name == name
    assert facts.runtime_name.endswith("ExecutionProvider")
    assert facts.packages
    assert facts.install
    assert facts.alignment
    assert all(step >= 1 for step in facts.alignment.values())
    assert facts.without_device
    assert set(facts.defaults) <= set(facts.options)
    assert not facts.thread_option or facts.thread_option in facts.options
    assert pickle.loads(pickle.dumps(facts)) == facts


def test_every_provider_of_the_table_is_there():
    wanted = "cpu xnnpack openvino dnnl cuda tensorrt tensorrt_rtx migraphx rocm directml coreml"
    assert {*wanted.split(), "nnapi", "qnn", "webgpu", "acl"} == set(PROVIDERS)


def test_names_are_taken_once():
    with pytest.raises(InvalidConfigError, match="two execution providers"):
        register_provider(find_provider("cpu"))
