"""Random graphs: valid, runnable, of every kind, and functions of their seed."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from onnxprune.testing.blocks.builder import LAST_OPSET, Builder, Setting, Tensor
from onnxprune.testing.blocks.shaping import At, Size, reshape
from onnxprune.testing.random_graphs import DIMENSIONS, block_kinds, feeds, random_model

SEEDS = range(200)
BATCHES = [range(start, start + 20) for start in SEEDS[::20]]


def _metadata(model):
    return {entry.key: entry.value for entry in model.metadata_props}


def _run(model, inputs, *, optimised):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    # Without this, products with int8 weights quantise their other operand as well.
    options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "1")
    level = ort.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimised else level.ORT_DISABLE_ALL
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, inputs)


def _declared(info, sizes):
    return tuple(d.dim_value or sizes[d.dim_param] for d in info.type.tensor_type.shape.dim)


def _operators(graph):
    for node in graph.node:
        yield node.op_type
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _operators(attribute.g)


@pytest.mark.parametrize("seeds", BATCHES, ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}")
def test_models_are_valid_and_run_with_finite_outputs_of_the_declared_shape(seeds):
    for seed in seeds:
        model = random_model(seed)
        # Shape inference does not know what reads a sparse weight.
        onnx.checker.check_model(model, full_check=not model.graph.sparse_initializer)
        for setting, sizes in enumerate(DIMENSIONS):
            outputs = _run(model, feeds(model, seed, setting=setting), optimised=False)
            for info, value in zip(model.graph.output, outputs, strict=True):
                assert value.shape == _declared(info, sizes), seed
                assert np.isfinite(value).all(), seed
                assert np.abs(value).max(initial=0.0) < 1e4, seed


def test_smooth_models_give_the_same_with_and_without_optimisation():
    for seed in SEEDS[::4]:
        model = random_model(seed)
        single = model.graph.output[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
        if not single or _metadata(model)["smooth"] != "1":
            continue
        inputs = feeds(model, seed)
        pairs = zip(
            _run(model, inputs, optimised=False), _run(model, inputs, optimised=True), strict=True
        )
        for plain, fast in pairs:
            np.testing.assert_allclose(fast, plain, rtol=1e-3, atol=1e-4, err_msg=str(seed))


def test_every_kind_of_block_occurs_where_it_is_promised():
    kinds = block_kinds()
    assert len(kinds) <= len(SEEDS)
    for seed in SEEDS:
        assert kinds[seed % len(kinds)] in _metadata(random_model(seed))["blocks"].split(",")


def test_the_models_vary_in_operators_opsets_types_and_sizes():
    models = [random_model(seed) for seed in SEEDS]
    operators = Counter(name for model in models for name in set(_operators(model.graph)))
    assert len(operators) > 110
    opsets = {model.opset_import[0].version for model in models}
    assert {min(opsets), max(opsets)} == {9, LAST_OPSET}
    floats = {model.graph.output[0].type.tensor_type.elem_type for model in models}
    assert floats == {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE}
    shapes = [i.type.tensor_type.shape for model in models for i in model.graph.input]
    symbols = {dim.dim_param for shape in shapes for dim in shape.dim}
    assert symbols == {"", "N", "L"}
    assert {len(model.graph.output) for model in models} >= {1, 2, 3}
    assert any(model.functions for model in models)
    assert any(model.graph.sparse_initializer for model in models)
    assert any(model.graph.value_info for model in models)
    assert max(len(model.SerializeToString()) for model in models) < 500_000


def test_a_seed_always_gives_the_same_bytes():
    for seed in SEEDS[::7]:
        first, second = (random_model(seed).SerializeToString(deterministic=True) for _ in "ab")
        assert first == second
        assert first != random_model(seed + 1).SerializeToString(deterministic=True)


def test_feeds_follow_seed_and_setting():
    model = next(m for m in map(random_model, SEEDS) if m.graph.input[0].type.tensor_type.shape.dim)
    name = model.graph.input[0].name
    assert np.array_equal(feeds(model, 1)[name], feeds(model, 1)[name])
    assert not np.array_equal(feeds(model, 1)[name], feeds(model, 2)[name])


@pytest.mark.parametrize(
    ("shape", "target", "expected"),
    [
        (("N", 8, 4, 4), [At(0), 2, Size((At(1),), over=2), At(2), At(3)], ("N", 2, 4, 4, 4)),
        (("N", 8, 4, 4), [At(0), Size((At(1), At(2), At(3)))], ("N", 128)),
        (("N", "L", 6), [Size((At(0), At(1))), At(2)], ("N*L", 6)),
        (("N", "L", 6), [At(0), At(1), 2, 3], ("N", "L", 2, 3)),
        ((2, 5, 6), [At(0), Size((At(1), At(2)))], (2, 30)),
    ],
)
def test_every_spelling_of_a_reshape_does_the_same(shape, target, expected):
    sizes = {"N": 2, "L": 5}
    value = np.arange(np.prod([sizes.get(d, d) for d in shape]), dtype=np.float32)
    value = value.reshape([sizes.get(d, d) for d in shape])
    spellings = set()
    for seed in range(40):
        setting = Setting(
            opset=13 + seed % 6,
            ir_version=8,
            dtype=np.dtype("f"),
            batch="N",
            length="L",
            widths=(4,),
            dressing=0.0,
            naming="{hint}_{count}",
            named_nodes=True,
        )
        b = Builder(np.random.default_rng(seed), setting)
        b.graph_input("x", b.elem_type, shape)
        result = reshape(b, Tensor("x", shape), target)
        assert result.shape == expected
        output = onnx.helper.make_tensor_value_info(result.name, b.elem_type, None)
        graph = onnx.helper.make_graph(b.nodes, "g", b.inputs, [output], b.initializers)
        opsets = [onnx.helper.make_opsetid("", b.opset)]
        model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
        (made,) = _run(model, {"x": value}, optimised=False)
        concrete = [np.prod([sizes.get(f) or int(f) for f in str(d).split("*")]) for d in expected]
        assert np.array_equal(made, value.reshape(concrete))
        text = onnx.printer.to_text(model.graph)
        spellings.add(re.sub(r"_\d+", "", text))
    assert len(spellings) > 3
