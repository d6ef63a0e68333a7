"""Quantised models are compared without rounding where rounding lets equal ones differ."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser, save

from onnxprune.pipeline import prune
from onnxprune.verification import equivalence
from onnxprune.verification.rounding import rounded

_HEAD = '<ir_version: 8, opset_import: ["" : 17]> g (float[N,4] x) => (float[N,3] y)'
_WEIGHTS = """float s={0.1}, float t={0.2}, float[1] one={0.1}, float[2] two={0.1, 0.2},
    uint8 z={128}, uint8 o={127}, uint8[2] zz={0, 0}, float[4,2] v={1,2,3,4,5,6,7,8}"""

PAIRS = {
    "one scale": ("q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z)", {"d": "x"}),
    "a list of one": ("q = QuantizeLinear(x, one, z) d = DequantizeLinear(q, one, z)", {"d": "x"}),
    "a constant": (
        """c = Constant<value = float {0.1}>() q = QuantizeLinear(x, c, z)
        d = DequantizeLinear(q, c, z)""",
        {"d": "x"},
    ),
    "another scale": ("q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, t, z)", {}),
    "another zero": ("q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, o)", {}),
    "by channel": (
        """h = MatMul(x, v) q = QuantizeLinear<axis=1>(h, two, zz)
        d = DequantizeLinear<axis=1>(q, two, zz)""",
        {},
    ),
}


@pytest.mark.parametrize(("nodes", "pairs"), PAIRS.values(), ids=PAIRS)
def test_pairs(nodes, pairs):
    model = parser.parse_model(f"{_HEAD}\n<{_WEIGHTS}> {{ {nodes} y = Identity(d) }}")
    assert rounded(model) == pairs


@pytest.fixture
def quantised(tmp_path):
    """Two layers with a quantised value between them."""
    text = """<float s={0.1}, uint8 z={0}> {
        h = MatMul(x, v) q = QuantizeLinear(h, s, z) d = DequantizeLinear(q, s, z)
        y = MatMul(d, w) }"""
    model = parser.parse_model(f"{_HEAD}\n{text}")
    noise = np.random.default_rng(0)
    for name, shape in (("v", (4, 8)), ("w", (8, 3))):
        weight = noise.standard_normal(shape).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(weight, name))
    save(model, tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


@pytest.mark.parametrize("broken", [False, True])
def test_the_second_comparison_is_without_rounding(quantised, tmp_path, monkeypatch, broken):
    seen = []

    def compare_files(original, pruned, feeds, **options):
        seen.append([n.op_type for p in (original, pruned) for n in onnx.load(p).graph.node])
        if len(seen) > 1 and broken:
            options["tolerance"] = 0.0
            proto = onnx.load(pruned)
            weight = numpy_helper.to_array(proto.graph.initializer[-1]) * np.float32(1.001)
            proto.graph.initializer[-1].CopyFrom(
                numpy_helper.from_array(weight, proto.graph.initializer[-1].name)
            )
            save(proto, pruned)
        found = real(original, pruned, feeds, **options)
        return found.model_copy(update={"exact": len(seen) > 1 and found.exact})

    real = equivalence.compare_files
    monkeypatch.setattr(equivalence, "compare_files", compare_files)
    out = tmp_path / "out.onnx"
    if broken:
        with pytest.raises(equivalence.VerificationError):
            prune(quantised, out, ratio=0.5)
        assert not out.exists()
    else:
        assert prune(quantised, out, ratio=0.5).verified.exact
    assert len(seen) == 2
    assert seen[0].count("DequantizeLinear") == 2
    assert "DequantizeLinear" not in seen[1]
