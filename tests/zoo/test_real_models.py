"""Trained third-party models: 30 % of the multiply-accumulates removed, verified exact.

They are fetched by `make zoo`; without them the tests are skipped.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from onnxprune.errors import NothingToPruneError
from onnxprune.pipeline import prune

ZOO = Path(os.environ.get("ONNXPRUNE_ZOO") or Path(__file__).resolve().parents[2] / ".zoo")
MODELS = sorted(ZOO.glob("*.onnx"))

UNPRUNABLE = {
    "oww_hey_jarvis": "every width is normalised over, which only --allow-approximate prunes",
}
"""Models that nothing can leave, with the reason."""

pytestmark = [pytest.mark.slow, pytest.mark.zoo]


@pytest.mark.skipif(not MODELS, reason=f"no models in {ZOO}; `make zoo` fetches them")
@pytest.mark.parametrize("path", MODELS, ids=lambda p: p.stem)
def test_a_third_of_the_macs(path: Path, tmp_path: Path) -> None:
    if path.stem in UNPRUNABLE:
        with pytest.raises(NothingToPruneError):
            prune(path, tmp_path / "out.onnx", remove_macs=0.3)
        return
    report = prune(path, tmp_path / "out.onnx", remove_macs=0.3)
    assert report.verified is not None
    assert report.verified.exact
    assert 0.3 <= report.achieved.macs <= 0.36
