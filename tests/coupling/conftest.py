"""Networks in which several layers read the same channels, as files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import pytest

from onnxprune.testing.shared_channels import NETS, residual

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=sorted(NETS))
def net(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"{request.param}.onnx"
    onnx.save(NETS[request.param](), path)
    return path


@pytest.fixture
def residual_net(tmp_path: Path) -> Path:
    path = tmp_path / "residual.onnx"
    onnx.save(residual(), path)
    return path
