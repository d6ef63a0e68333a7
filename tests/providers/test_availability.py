from __future__ import annotations

import sys
import types

import pytest

from onnxprune.errors import ProviderUnavailableError
from onnxprune.providers import Package, ProviderFacts, find_provider
from onnxprune.providers import availability as subject
from onnxprune.providers.availability import availability, require_provider


def test_cpu_is_built_in():
    found = availability(find_provider("cpu"))
    assert found.presence == "built-in"
    assert found.usable
    assert "ONNX Runtime" in found.detail


def test_a_name_that_is_not_in_the_build_is_missing_and_says_how_to_get_it():
    facts = find_provider("nnapi")
    assert availability(facts).presence == "missing"
    with pytest.raises(ProviderUnavailableError, match="'nnapi' is not available") as caught:
        require_provider(facts)
    assert "CPUExecutionProvider" in caught.value.message
    assert facts.install in (caught.value.hint or "")


class _Runtime:
    __version__ = "9.9"

    def __init__(self, devices=(), failure=None):
        self.devices = devices
        self.failure = failure
        self.registered = []

    def get_available_providers(self):
        # As the real one does: a plug-in joins the list once it is registered.
        return ["CPUExecutionProvider", *(name for name, _ in self.registered)]

    def register_execution_provider_library(self, name, path):
        if self.failure:
            raise self.failure
        self.registered.append((name, path))

    def get_ep_devices(self):
        return [types.SimpleNamespace(ep_name=name) for name in self.devices]


@pytest.fixture
def plugin(monkeypatch):
    """Pretend that a plug-in package is installed beside a runtime."""
    module = types.ModuleType("onnxruntime_ep_pretend")
    module.get_library_path = lambda: "/x/libpretend.so"
    module.__spec__ = types.SimpleNamespace(name="onnxruntime_ep_pretend")
    monkeypatch.setitem(sys.modules, "onnxruntime_ep_pretend", module)
    packages = (Package("onnxruntime-ep-pretend", plugin="onnxruntime_ep_pretend"),)
    facts = ProviderFacts("pretend", "PretendExecutionProvider", "Pretend", "npu", packages)
    cached = (subject._register, subject._built_in, subject._build)
    for function in cached:
        function.cache_clear()

    def use(runtime):
        monkeypatch.setattr(subject, "load_onnxruntime", lambda: runtime)
        return facts

    yield use
    for function in cached:
        function.cache_clear()


def test_plugin_with_a_device_stays_a_plugin_after_it_joined_the_list(plugin):
    runtime = _Runtime(["PretendExecutionProvider", "CPUExecutionProvider"])
    facts = plugin(runtime)
    assert availability(facts).presence == "plugin"
    assert availability(facts).presence == "plugin"
    assert runtime.registered == [("PretendExecutionProvider", "/x/libpretend.so")]


def test_plugin_without_a_device_cannot_be_used(plugin):
    facts = plugin(_Runtime(["CPUExecutionProvider"]))
    assert availability(facts).presence == "no device"
    with pytest.raises(ProviderUnavailableError, match="finds no device") as caught:
        require_provider(facts)
    assert "without its device" in (caught.value.hint or "")


def test_plugin_that_does_not_load_is_missing(plugin):
    facts = plugin(_Runtime(failure=RuntimeError("libfoo.so: cannot open shared object file")))
    found = availability(facts)
    assert found.presence == "missing"
    assert "libfoo.so" in found.detail


def test_old_runtime_takes_no_plugins(plugin):
    class Old:
        __version__ = "1.10"

        def get_available_providers(self):
            return ["CPUExecutionProvider"]

    found = availability(plugin(Old()))
    assert found.presence == "missing"
    assert "takes no plug-ins" in found.detail
