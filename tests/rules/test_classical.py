"""Networks behind the preprocessing of classical machine learning."""

from __future__ import annotations

import pytest
from onnx import TensorProto, numpy_helper, parser

import onnxprune.rules  # noqa: F401 - registers the rules
from onnxprune.core.graph import build_graph
from onnxprune.core.shapes import concretize

FLOAT, DOUBLE = TensorProto.FLOAT, TensorProto.DOUBLE


@pytest.mark.parametrize(
    ("kind", "node", "made"),
    [
        ("float", "Scaler<offset=[1.0], scale=[2.0]>(x)", FLOAT),
        ("double", "Scaler<offset=[1.0], scale=[2.0]>(x)", FLOAT),
        ("double", "Normalizer<norm='L2'>(x)", FLOAT),
        ("float", "Imputer<imputed_value_floats=[0.0]>(x)", FLOAT),
        ("double", "Imputer<imputed_value_floats=[0.0]>(x)", DOUBLE),
    ],
)
def test_shapes(kind: str, node: str, made: int) -> None:
    text = f"""
        <ir_version: 8, opset_import: ["" : 17, "ai.onnx.ml" : 3]>
        g ({kind}[N,4] x) => (float[N,4] y) {{ h = ai.onnx.ml.{node} y = Relu(h) }}
        """.replace("'", '"')
    graph = build_graph(parser.parse_model(text))
    found = concretize(graph, numpy_helper.to_array, [{"N": 2}, {"N": 3}])[0]
    assert found.shape("h") == (2, 4)
    assert found.dtypes["h"] == made
    assert found.is_dynamic("h", 0)
