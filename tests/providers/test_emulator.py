from __future__ import annotations

import platform

import pytest

from onnxprune.providers import find_provider
from onnxprune.providers.emulator import emulated_machine, emulation


@pytest.mark.parametrize(
    ("name", "machine", "variables", "emulated"),
    [
        ("cpu", "x86_64", {}, False),
        ("cpu", "x86_64", {"VK_DRIVER_FILES": "/x/vk_swiftshader_icd.json"}, False),
        ("qnn", "x86_64", {}, True),
        ("qnn", "ARM64", {}, False),
        ("webgpu", "x86_64", {}, False),
        ("webgpu", "x86_64", {"VK_DRIVER_FILES": "/x/vk_swiftshader_icd.json"}, True),
        ("webgpu", "x86_64", {"VK_ICD_FILENAMES": "/x/lvp_icd.x86_64.json"}, True),
        ("webgpu", "x86_64", {"VK_DRIVER_FILES": "/x/nvidia_icd.json"}, False),
    ],
)
def test_emulators_are_known(name, machine, variables, emulated):
    found = emulation(find_provider(name), machine=machine, environment=variables)
    assert bool(found) is emulated


@pytest.mark.skipif(platform.system() != "Linux", reason="looks at /proc")
@pytest.mark.parametrize("machine", ["x86_64", "aarch64", "riscv64", "something"])
def test_program_of_another_machine_is_emulated(monkeypatch, machine):
    real = platform.machine()
    assert emulated_machine() == ""
    monkeypatch.setattr(platform, "machine", lambda: machine)
    expected = "" if machine in (real, "something") else machine
    assert emulated_machine() == expected
    assert bool(emulation(find_provider("cpu"), environment={})) is bool(expected)
