"""The corpus of valid and hostile files that lies beside the repository."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

from onnxprune.errors import InvalidModelError
from onnxprune.io import load_model, write_model

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus"
MANIFEST = CORPUS / "manifest.json"

# Well-formed files whose fault shows only when shapes are inferred or the graph runs.
CAUGHT_LATER = {
    "wrong_rank": "shape inference: Conv with a weight of rank 2",
    "concat_axis_rank": "shape inference: Concat along an axis that does not exist",
    "bad_perm": "shape inference: Transpose with a repeated axis",
    "ms_matmulnbits_oob": "the operator's rule, and the run in a child process",
}


def entries(kind):
    if not MANIFEST.exists():
        reason = "needs the corpus beside the repository"
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason), id="absent")]
    models = json.loads(MANIFEST.read_text())["models"]
    return [pytest.param(entry, id=entry["name"]) for entry in models if entry["kind"] == kind]


@pytest.mark.parametrize("entry", entries("hostile"))
def test_hostile(entry):
    refusal = None
    try:
        load_model(CORPUS / entry["file"])
    except InvalidModelError as error:
        refusal = str(error)
    if entry["name"] in CAUGHT_LATER:
        assert refusal is None, "no longer caught later: take it out of the table"
    else:
        assert refusal or entry["expect"] == "either"
    assert (refusal or "fine").isprintable()


@pytest.mark.parametrize("entry", entries("valid"))
def test_valid_round_trip(entry, tmp_path):
    path = CORPUS / entry["file"]
    model = load_model(path)
    write_model(model.proto, tmp_path / "out.onnx", source=model)
    assert onnx.load(tmp_path / "out.onnx") == onnx.load(path)
