from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from onnxprune.errors import InvalidConfigError, ProviderUnavailableError
from onnxprune.providers.interpreter import call_in

LIMITS = {"timeout_s": 60, "memory_limit_bytes": None}
HERE = Path(sys.executable)


@pytest.mark.parametrize("python", [None, HERE])
def test_call_gives_the_result_and_raises_the_error(python):
    target = "onnxprune.providers.registry:find_provider"
    assert call_in(python, target, {"name": "trt"}, **LIMITS).name == "tensorrt"
    with pytest.raises(InvalidConfigError, match="no execution provider 'tpu'") as caught:
        call_in(python, target, {"name": "tpu"}, **LIMITS)
    assert "choose among" in (caught.value.hint or "")


@pytest.mark.parametrize("python", [None, HERE])
def test_errors_of_python_are_raised_again(python):
    with pytest.raises(ValueError, match="1 log ratios"):
        call_in(python, "onnxprune.bench.interval:ratio_interval", {"logs": [0.0]}, **LIMITS)


def test_interpreter_that_is_not_there():
    with pytest.raises(ProviderUnavailableError, match="does not start: No such file"):
        call_in(Path("/nowhere/python"), "os:getpid", {}, **LIMITS)


def test_interpreter_that_gives_no_answer():
    with pytest.raises(ProviderUnavailableError, match="left with status 1") as caught:
        call_in(Path("/bin/false"), "os:getpid", {}, **LIMITS)
    assert "numpy" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "module",
    [
        "onnxprune.bench.footprint",
        "onnxprune.bench.timing",
        "onnxprune.providers.check",
        "onnxprune.providers.scratch",
        "onnxprune.runtime.machine",
    ],
)
def test_what_runs_elsewhere_needs_little(module):
    """Another interpreter has NumPy and ONNX Runtime, and nothing else of ours is promised."""
    absent = ["onnx", "onnx_graphsurgeon", "scipy", "click", "pydantic", "rich", "networkx"]
    code = f"import sys; sys.modules.update(dict.fromkeys({absent})); import {module}"
    subprocess.run([sys.executable, "-c", code], check=True)
