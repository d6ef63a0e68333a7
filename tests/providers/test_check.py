"""Every way in which a provider can leave the work to the CPU, or not do it, is refused."""

from __future__ import annotations

import json
import os
import types
from pathlib import Path

import numpy as np
import pytest

from onnxprune.errors import InvalidModelError, ProviderUnavailableError
from onnxprune.providers import check, parse_spec
from onnxprune.providers.check import examine, survey
from onnxprune.providers.interpreter import call_in
from onnxprune.providers.registry import PROVIDERS
from onnxprune.providers.session import SessionSettings, open_on
from onnxprune.runtime.difference import OutputDifference
from onnxprune.runtime.session import load_onnxruntime, open_session

FAKE = "FakeExecutionProvider"
CPU = "CPUExecutionProvider"


def test_cpu_runs_everything(model, recipe):
    found = examine(model, parse_spec("cpu"), recipe, runs=2)
    assert found.share == 1.0
    assert found.differences == ()
    assert found.placement.counts()[CPU] == len(found.placement.nodes[CPU])
    assert found.placement.ran_on(CPU) > 0
    assert all(kernel.us >= 0.0 for kernel in found.placement.kernels)


def test_survey_looks_for_all():
    version, found = survey(list(PROVIDERS.values()))
    assert version == load_onnxruntime().__version__
    assert len(found) == len(PROVIDERS)


def test_missing_provider_is_refused_before_anything_runs(model, recipe):
    with pytest.raises(ProviderUnavailableError, match="not available"):
        examine(model, parse_spec("nnapi"), recipe)


def test_provider_that_is_listed_and_runs_nothing(model, recipe, make_spec):
    if "AzureExecutionProvider" not in load_onnxruntime().get_available_providers():
        pytest.skip("this build lists no provider that takes no nodes")
    spec = make_spec("AzureExecutionProvider")
    with pytest.raises(ProviderUnavailableError, match="runs nothing: nodes are 33 on CPUExec"):
        examine(model, spec, recipe)
    with pytest.raises(ProviderUnavailableError, match="does not take"):
        examine(model, spec, recipe, require_share=1.0)


def test_model_that_no_provider_takes_is_the_models_fault(tmp_path, make_spec):
    if "AzureExecutionProvider" not in load_onnxruntime().get_available_providers():
        pytest.skip("this build lists no second provider")
    path = tmp_path / "bad.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(InvalidModelError):
        open_on(make_spec("AzureExecutionProvider"), path, SessionSettings())


class _Session:
    """A session that pretends to be on another provider."""

    def __init__(self, path, folder, *, nodes=None, ran=FAKE, spoil=None, after=None):
        self.real = open_session(path, optimize=True)
        self.nodes = nodes or {FAKE: 3}
        self.ran = ran
        self.spoil = spoil
        self.after = after or [FAKE, CPU]
        self.profile = folder / "profile.json"

    def get_inputs(self):
        return self.real.get_inputs()

    def get_outputs(self):
        return self.real.get_outputs()

    def get_providers(self):
        return self.after

    def get_provider_graph_assignment_info(self):
        return [
            types.SimpleNamespace(
                ep_name=name,
                get_nodes=lambda n=name, c=count: [
                    types.SimpleNamespace(name=f"{n}{number}") for number in range(c)
                ],
            )
            for name, count in self.nodes.items()
        ]

    def run(self, names, feed):
        outputs = self.real.run(names, feed)
        return [self.spoil(output) for output in outputs] if self.spoil else outputs

    def end_profiling(self):
        args = {"op_name": "Conv", "provider": self.ran}
        event = {"cat": "Node", "name": "a_kernel_time", "dur": 1, "args": args}
        self.profile.write_text(json.dumps([event]))
        return str(self.profile)


@pytest.fixture
def examine_fake(monkeypatch, model, recipe, tmp_path, make_spec):
    """Examine a session that misbehaves in some way."""

    def call(*, tolerance=None, require_share=None, **behaviour):
        session = _Session(model, tmp_path, **behaviour)
        found = types.SimpleNamespace(presence="plugin", usable=True)
        monkeypatch.setattr(check, "availability", lambda _facts: found)
        monkeypatch.setattr(check, "open_on", lambda _spec, _model, _settings: session)
        return examine(
            model, make_spec(), recipe, runs=1, tolerance=tolerance, require_share=require_share
        )

    return call


def _fail(_output):
    message = "[ONNXRuntimeError] : 11 : EP_FAIL : backend says no"
    raise RuntimeError(message)


def test_well_behaved_provider_passes(examine_fake):
    found = examine_fake(nodes={FAKE: 3, CPU: 1})
    assert found.share == 0.75
    assert found.differences[0].max_abs == 0.0


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ({"nodes": {CPU: 38}}, "listed but runs nothing: nodes are 38 on CPUExecutionProvider"),
        ({"ran": CPU}, "was given 3 nodes, and the profile shows none"),
        ({"spoil": np.zeros_like}, "computes something else"),
        ({"spoil": lambda output: output * np.float32(1e30)}, "computes something else"),
        ({"spoil": lambda output: np.full_like(output, np.nan)}, "no numbers"),
        ({"spoil": lambda output: output[:, :1]}, "shape"),
        ({"spoil": lambda output: output.astype(np.float64)}, "element type"),
        ({"spoil": lambda output: output * np.float32(1.01)}, "differs by 0.01, relative"),
        ({"spoil": _fail}, "took the model and cannot run it: backend says no"),
        ({"after": [CPU]}, "fell back to CPUExecutionProvider"),
        ({"nodes": {FAKE: 1, CPU: 1}, "require_share": 0.6}, "ran 50.0% of the nodes"),
    ],
)
def test_fallback_is_refused(examine_fake, behaviour, said):
    with pytest.raises(ProviderUnavailableError, match=said) as caught:
        examine_fake(**behaviour)
    assert caught.value.exit_code == 3


def test_coarser_precision_can_be_allowed(examine_fake):
    spoil = {"spoil": lambda output: output * np.float32(1.01)}
    assert examine_fake(**spoil, tolerance=0.05).differences[0].max_rel == pytest.approx(0.01, 0.1)


@pytest.mark.parametrize(
    ("difference", "agrees"),
    [
        (OutputDifference("y", max_abs=1e-3, max_rel=1e-3, scale=1.0, elements=9), True),
        (OutputDifference("y", max_abs=3e-3, max_rel=3e-3, scale=1.0, elements=9), False),
        (OutputDifference("y", max_abs=1e-7, max_rel=1.0, scale=1e-7, elements=9), True),
        (OutputDifference("y", max_abs=1e-5, max_rel=1.0, scale=1e-5, elements=9), False),
        (OutputDifference("y", elements=2000, mismatches=1), True),
        (OutputDifference("y", elements=10, mismatches=1), False),
        (OutputDifference("y", elements=10, nonfinite_mismatches=1), False),
    ],
)
def test_what_agrees(difference, agrees, make_spec):
    if agrees:
        check._require_agreement(make_spec(), [difference], 2e-3)
    else:
        with pytest.raises(ProviderUnavailableError):
            check._require_agreement(make_spec(), [difference], 2e-3)


# Real packages, in environments of their own: name their interpreters to run these.
REAL = [
    ("QNN", "qnn:htp_arch=75,soc_model=57", None),
    ("QNN", "qnn:backend_type=cpu", "listed but runs nothing"),
    ("QNN", "qnn:backend_type=saver", "computes something else"),
    ("QNN", "qnn:backend_type=ir", "cannot run it"),
    ("OPENVINO", "openvino", None),
    ("OPENVINO", "openvino:device_type=GPU", "openvino:device_type=GPU"),
    ("CUDA_WITHOUT_GPU", "cuda", "fell back|does not take"),
    ("CUDA_WITHOUT_GPU", "tensorrt", "fell back|does not take"),
    ("WEBGPU", "webgpu", None),
]


@pytest.mark.parametrize(("environment", "text", "said"), REAL)
def test_real_packages(environment, text, said, model, recipe):
    variable = f"ONNXPRUNE_{environment}_PYTHON"
    if variable not in os.environ:
        pytest.skip(f"needs {variable}, an interpreter whose environment has the provider")
    sizes = type(recipe)(recipe.specs, {"n": 2, "batch": 2, "N": 2})
    kwargs = {"model": model, "spec": parse_spec(text), "recipe": sizes}

    def call():
        return call_in(
            Path(os.environ[variable]), "onnxprune.providers.check:examine", kwargs,
            timeout_s=120, memory_limit_bytes=None,
        )  # fmt: skip

    if said is None:
        assert call().share == 1.0
    else:
        with pytest.raises(ProviderUnavailableError, match=said):
            call()
