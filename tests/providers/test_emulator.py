from __future__ import annotations

import pytest

from onnxprune.providers import find_provider
from onnxprune.providers.emulator import emulation


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
