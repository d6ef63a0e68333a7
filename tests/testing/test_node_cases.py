"""The single-node cases of onnx as NumPy values."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

from onnxprune.testing.node_cases import node_cases


@pytest.fixture(scope="module")
def cases():
    return {case.name: case for case in node_cases()}


def test_there_are_many_and_each_is_one_node(cases):
    assert len(cases) > 1400
    assert all(len(case.model.graph.node) == 1 for case in cases.values())
    covered = {case.node.op_type for case in cases.values() if not case.node.domain}
    live = {s.name for s in onnx.defs.get_all_schemas() if not s.domain and not s.deprecated}
    assert len(covered & live) > 0.9 * len(live)


def test_tensors_have_the_declared_type_and_shape(cases):
    for case in cases.values():
        values = {**case.inputs, **case.outputs}
        for info in [*case.model.graph.input, *case.model.graph.output]:
            kind, value = info.type.tensor_type, values[info.name]
            if info.type.WhichOneof("value") != "tensor_type":
                continue
            assert isinstance(value, np.ndarray), case.name
            assert value.dtype == helper.tensor_dtype_to_np_dtype(kind.elem_type), case.name
            declared = [d.dim_value for d in kind.shape.dim]
            if all(d.HasField("dim_value") for d in kind.shape.dim) and kind.HasField("shape"):
                assert list(value.shape) == declared, case.name


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("test_relu", True),
        ("test_identity_sequence", False),
        ("test_sequence_insert_at_back", False),
    ],
)
def test_sequences_and_optionals_are_told_from_tensors(cases, name, plain):
    assert cases[name].plain is plain


def test_opset_is_the_version_of_the_domain_of_the_node(cases):
    for case in cases.values():
        schema = onnx.defs.get_schema(case.node.op_type, case.opset, case.node.domain)
        assert schema.since_version <= case.opset


def test_the_reference_evaluator_agrees(cases):
    sampled = {"Gemm", "Concat", "Slice"}
    chosen = [case for case in cases.values() if case.plain and case.node.op_type in sampled]
    assert len(chosen) > 20
    for case in chosen:
        made = onnx.reference.ReferenceEvaluator(case.model).run(None, case.inputs)
        for value, wanted in zip(made, case.outputs.values(), strict=True):
            np.testing.assert_allclose(value, wanted, rtol=case.rtol, atol=case.atol)
