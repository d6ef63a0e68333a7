"""A small model, and a provider that every build lists and that runs nothing."""

from __future__ import annotations

import numpy as np
import pytest

from onnxprune.demo import MODEL
from onnxprune.providers import Package, ProviderFacts, ProviderSpec
from onnxprune.runtime.feeds import FeedRecipe
from onnxprune.runtime.inputs import InputSpec


@pytest.fixture
def model():
    return str(MODEL)


@pytest.fixture
def recipe():
    return FeedRecipe((InputSpec("image", np.dtype(np.float32), (2, 1, 8, 8)),), {})


@pytest.fixture
def make_spec():
    """Ask for a provider of any name that has no facts of its own."""

    def build(runtime_name="FakeExecutionProvider", *, device="npu", **facts):
        packages = (Package("onnxruntime-fake"),)
        known = ProviderFacts("fake", runtime_name, "Fake", device, packages, **facts)
        return ProviderSpec("fake", known, {})

    return build
