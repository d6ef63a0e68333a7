"""What the package offers, and that asking for its version costs nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

import onnxprune
from onnxprune import pipeline


def test_everything_promised_is_there() -> None:
    assert set(pipeline.__all__) < set(onnxprune.__all__)
    for name in onnxprune.__all__:
        value = getattr(onnxprune, name)
        assert value is getattr(pipeline, name, value)
        assert name == "__version__" or callable(value)
    assert set(onnxprune.__all__) <= set(dir(onnxprune))


def test_nothing_else_is_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'magic'"):
        _ = onnxprune.magic


@pytest.mark.parametrize(
    "code",
    [
        # `verify` is also the name of a package below: the verb wins, whatever came first.
        "import onnxprune; assert callable(onnxprune.verify)",
        "import onnxprune.pipeline; assert callable(onnxprune.verify)",
        "from onnxprune import verify, prune; assert callable(verify)",
        "import onnxprune; onnxprune.load; assert callable(onnxprune.verify)",
        "import onnxprune, sys; onnxprune.__version__; assert 'numpy' not in sys.modules",
    ],
)
def test_lazy_names(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True)
